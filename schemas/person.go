package schemas

// Date is a calendar date, YYYY-MM-DD.
type Date string

// PartialDate is YYYY, YYYY-MM or YYYY-MM-DD: people often know no more.
type PartialDate string

// Region is an ISO 3166-2 code.
type Region string

// Country is an ISO 3166-1 alpha-2 code.
type Country string

// LanguageTag is a BCP 47 tag in its usual capitals, e.g. "vi", "ku-Latn", "ar-SD".
type LanguageTag string

// Person is the survivor. Only an indication of age is asked for: a name may be unknown, or too dangerous to
// write down.
type Person struct {
	Names             []Name             `json:"names,omitempty" validate:"omitempty,max=10,dive"`
	DateOfBirth       Date               `json:"date_of_birth,omitzero" validate:"omitempty,date" category:"identity"`
	Age               *int               `json:"age,omitzero" validate:"omitempty,min=0,max=120" category:"identity"`
	AgeRange          AgeRange           `json:"age_range,omitzero" validate:"omitempty,code" category:"identity"`
	AgeDisputed       bool               `json:"age_disputed,omitzero" category:"identity"`
	Gender            Gender             `json:"gender,omitzero" validate:"omitempty,code" category:"identity"`
	GenderStated      string             `json:"gender_stated,omitzero" validate:"omitempty,max=100,line" category:"identity"` // in the survivor's words
	Pronouns          string             `json:"pronouns,omitzero" validate:"omitempty,max=50,line" category:"identity"`
	Nationalities     []Country          `json:"nationalities,omitempty" validate:"omitempty,max=8,unique,dive,country" category:"identity"`
	Stateless         bool               `json:"stateless,omitzero" category:"identity"`
	ImmigrationStatus ImmigrationStatus  `json:"immigration_status,omitzero" validate:"omitempty,code" category:"immigration"`
	ImmigrationNotes  string             `json:"immigration_notes,omitzero" validate:"omitempty,max=2000,prose" category:"immigration"`
	Ethnicity         string             `json:"ethnicity,omitzero" validate:"omitempty,max=100,line" category:"faith-ethnicity"`
	Faith             string             `json:"faith,omitzero" validate:"omitempty,max=100,line" category:"faith-ethnicity"`
	Diet              string             `json:"diet,omitzero" validate:"omitempty,max=200,line" category:"faith-ethnicity"`
	SexualOrientation string             `json:"sexual_orientation,omitzero" validate:"omitempty,max=100,line" category:"sexual-life"`
	Documents         []IdentityDocument `json:"documents,omitempty" validate:"omitempty,max=10,dive"`
	Contact           *Contact           `json:"contact,omitzero" validate:"omitempty"`
}

// Name is one name of a person, in any script.
type Name struct {
	Use    NameUse `json:"use" validate:"required,code" category:"identity"`
	Text   string  `json:"text" validate:"required,max=200,line" category:"identity"`            // the whole name as written
	Latin  string  `json:"latin,omitzero" validate:"omitempty,max=200,line" category:"identity"` // a transliteration
	Family string  `json:"family,omitzero" validate:"omitempty,max=100,line" category:"identity"`
	Given  string  `json:"given,omitzero" validate:"omitempty,max=100,line" category:"identity"`
}

// IdentityDocument is a document and, as important, who holds it.
type IdentityDocument struct {
	Type    DocumentType   `json:"type" validate:"required,code" category:"identity"`
	Number  string         `json:"number,omitzero" validate:"omitempty,max=50,line" category:"identity"`
	Country Country        `json:"country,omitzero" validate:"omitempty,country" category:"identity"`
	Expires Date           `json:"expires,omitzero" validate:"omitempty,date" category:"identity"`
	HeldBy  DocumentHolder `json:"held_by,omitzero" validate:"omitempty,code" category:"exploitation"`
}

// Contact is how the survivor could be reached. Whether they may be is in SafeContact, without which no
// contact detail is accepted.
type Contact struct {
	Phones    []Phone   `json:"phones,omitempty" validate:"omitempty,max=5,dive"`
	Emails    []string  `json:"emails,omitempty" validate:"omitempty,max=5,unique,dive,email_address" category:"contact"`
	Addresses []Address `json:"addresses,omitempty" validate:"omitempty,max=3,dive"`
	Apps      []App     `json:"apps,omitempty" validate:"omitempty,max=5,dive"`
}

// Phone is a telephone number and whose telephone it is.
type Phone struct {
	Number string     `json:"number" validate:"required,phone" category:"contact"`
	Whose  PhoneOwner `json:"whose,omitzero" validate:"omitempty,code" category:"contact"`
}

// App is an account in a messaging service.
type App struct {
	Service string `json:"service" validate:"required,max=50,line" category:"contact"`
	Handle  string `json:"handle" validate:"required,max=100,line" category:"contact"`
}

// Address is a postal address.
type Address struct {
	Lines    []string `json:"lines" validate:"required,min=1,max=6,dive,required,max=150,line" category:"contact"`
	Postcode string   `json:"postcode,omitzero" validate:"omitempty,max=16,line" category:"contact"`
	Country  Country  `json:"country,omitzero" validate:"omitempty,country" category:"contact"`
}

// ChildArrangements says who stands beside a child. Children need no consent to be referred; a guardian and
// the local authority are involved instead.
type ChildArrangements struct {
	LocalAuthority         string  `json:"local_authority,omitzero" validate:"omitempty,max=200,line" category:"support-needs"`
	LocalAuthorityInformed *bool   `json:"local_authority_informed,omitzero" category:"support-needs"`
	SocialWorker           *Worker `json:"social_worker,omitzero" validate:"omitempty"`
	GuardianAppointed      *bool   `json:"guardian_appointed,omitzero" category:"support-needs"`
	Guardian               *Worker `json:"guardian,omitzero" validate:"omitempty"`
	LookedAfter            *bool   `json:"looked_after,omitzero" category:"support-needs"`
	WithFamily             *bool   `json:"with_family,omitzero" category:"family"`
	Wishes                 string  `json:"wishes,omitzero" validate:"omitempty,max=2000,prose" category:"support-needs"` // the child's own
}
