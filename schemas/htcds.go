package schemas

// htcdsExploitation maps to vic_TypeOfExploitation of the Human Trafficking Case Data Standard 2.0 by IOM
// (UNMigration/HTCDS, CC BY 4.0; IOM endorses nothing here). HTCDS counts debt bondage as a method of control
// and criminal exploitation among "other"; it has no word for "unknown".
var htcdsExploitation = map[ExploitationType]string{
	ExploitationForcedLabour:      "ForcedLabour",
	ExploitationSexual:            "SexualExploitation",
	ExploitationCriminal:          "Other",
	ExploitationDomesticServitude: "Servitude",
	ExploitationOrganRemoval:      "OrganRemoval",
	ExploitationForcedMarriage:    "ForcedMarriage",
	ExploitationForcedBegging:     "ForcedBegging",
	ExploitationDebtBondage:       "Other",
	ExploitationChildLabour:       "ChildLabour",
}

// HTCDS returns the type in the words of HTCDS, and false when HTCDS has none.
func (t ExploitationType) HTCDS() (string, bool) {
	word, ok := htcdsExploitation[t]
	return word, ok
}
