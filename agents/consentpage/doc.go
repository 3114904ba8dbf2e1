// Package consentpage makes the page that a survivor may take away from a talk about consent: what may be shared, with
// whom, what for and until when, and that it can be changed, in plain words of a language that the survivor reads.
//
// A page can be found. It therefore holds nothing by which a person who looks for the survivor could learn who helps, where,
// or that anybody was told anything: no name or pseudonym, no agency, no address, none of the words of the field, and neither
// of the free texts of the certificate unless the caller asks for the one on how to withdraw. Recipients are described by
// what they do for the survivor; the worker says their names aloud. The last four characters of the certificate's id are
// all that ties the page to a record.
//
// The words are data: one file a language in words/, with the same strings, and one phrase for every purpose, category, role
// and party of package schemas. Those that no native speaker has checked say so on the page, in their language and in
// English. To add a language, translate en.json and run the tests; fonts for its script must be on the machine that prints.
package consentpage
