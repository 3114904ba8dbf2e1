// Package schemas holds what agencies say to one another: the referral, the answer to it, the consent that
// allows it, and the code lists in which all of them are written. It decodes strictly, validates, and
// generates the JSON Schemas that are committed beside it.
//
// The package is pure: no network, no disk, no goroutine and no logging. Only Validate and Decode read the
// clock, to tell a child from an adult by a date of birth; ValidateAt takes the time as an argument. Everything
// exported is safe for concurrent use. It imports nothing else of Waypost, so that an agency's developer or
// an auditor can compile it alone.
//
// Two rules hold everywhere. An error never contains a value of the document it complains about, only the
// JSON pointer and the rule, because errors are logged and documents describe survivors. And every field of
// a payload carries the data category it belongs to, because consent and agreements are given by category.
package schemas
