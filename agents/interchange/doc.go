// Package interchange moves referrals to and from tables: out as HTCDS 2.0, the case data standard that counter-trafficking
// organisations exchange, in from the spreadsheet of an agency that has no system of its own.
//
// # Out
//
// WriteHTCDS writes a row a referral under the columns of HTCDS 2.0, in its order, after one column of ours: record_id, because
// HTCDS has no field for a record's own id. The id is a pseudonym, the same for all rows of a thread. Unless the export is
// Identified, a row holds only codes, countries, languages, dates of hand-overs and agencies: no name, birth date, contact,
// document number, place or free text, of survivors or of workers. An identified row still holds a telephone number or an
// address only where the survivor allowed calling or writing: HTCDS has no place for the instructions that go with it.
// Several values in one cell are separated by a semicolon. A code of ours for which HTCDS has no word is left out, never
// bent; words.go lists each with its reason. HTCDS is IOM's (CC BY 4.0, see data/README.md); IOM endorses nothing here.
//
// # Spreadsheets run formulas
//
// A cell that begins with = + - @, a tab, a carriage return or a line feed (also after spaces, also as a full-width character)
// could run as a formula in whatever opens the file. Guard puts one apostrophe before such a cell, and before one that begins
// with an apostrophe already, so that Unguard, which takes exactly that apostrophe away, gives every text back as it was.
//
// # In
//
// ReadReferrals reads submissions from CSV: UTF-8 with or without byte order mark, comma or semicolon, columns by name in any
// order (Columns lists them). Every row is judged by the rules of package schemas before any is returned; by default one
// refused row holds back all. The report names row, column, rule and what to do, and never a value. Several codes in one cell
// are separated by "|"; yes and no are written so; an empty cell means not known. Size, rows and cells are bounded, and no more
// than one row is held in memory before it is judged.
package interchange
