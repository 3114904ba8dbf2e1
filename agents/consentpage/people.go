package consentpage

import (
	"fmt"
	"slices"

	"waypost/schemas"
)

// recipients describes who may know. Agencies whose role is known are described like the role, the others are counted.
func (p *writer) recipients(r *schemas.Recipients, roleOf func(string) schemas.Role) ([]string, error) {
	var roles []schemas.Role
	for _, c := range r.Classes {
		roles = append(roles, c.Role)
	}
	unknown := 0
	for _, agency := range r.Agencies {
		var role schemas.Role
		if roleOf != nil {
			role = roleOf(agency)
		}
		if _, ok := p.words.Role[role]; !ok {
			unknown++
			continue
		}
		roles = append(roles, role)
	}
	out, err := phrases(p.words.Role, roles)
	if err != nil {
		return nil, err
	}
	if unknown > 0 {
		out = append(out, p.say.Sprintf("groups", unknown))
	}
	return out, nil
}

// phrases gives the plain words for codes, each once. A code without words is an error: leaving it out would tell the
// survivor that less is shared than is.
func phrases[T ~string](words map[T]string, codes []T) ([]string, error) {
	var out []string
	for _, code := range codes {
		text, ok := words[code]
		if !ok || text == "" {
			return nil, fmt.Errorf("there are no plain words for one of the certificate's codes")
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out, nil
}
