package schemas

import "slices"

// Sharing is what every message about a survivor, that is no plain answer, says first: for what, and on which ground.
type Sharing struct {
	Purposes    []Purpose   `json:"purposes" validate:"required,min=1,max=14,unique,dive,code" category:"case-admin"`
	LawfulBasis LawfulBasis `json:"lawful_basis" validate:"required"`
}

// PurposeList returns a copy of the purposes.
func (s *Sharing) PurposeList() []Purpose { return slices.Clone(s.Purposes) }

// Ground returns the lawful basis.
func (s *Sharing) Ground() *LawfulBasis { return &s.LawfulBasis }

// Prose is free text about a survivor and what it tells: consent and agreements are checked by category, and no program
// reads prose. Text without declared categories counts as support-needs.
type Prose struct {
	Text           string     `json:"text" validate:"required,max=8000,prose" category:"support-needs"`
	TextCategories []Category `json:"text_categories,omitempty" validate:"omitempty,max=18,unique,dive,code" category:"case-admin"`
}

func (p *Prose) declaredCategories() []Category {
	if p.Text == "" {
		return nil
	}
	return p.TextCategories
}
