package notary

import "time"

// Patient replaces how long a request may take; before Run.
func (n *Notary) Patient(d time.Duration) { n.patience = d }

// RecoveriesMax is how many agencies may recover at once.
const RecoveriesMax = recoveriesMax
