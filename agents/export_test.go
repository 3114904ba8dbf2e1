package agents

// OnCommit lets a test die at a commit of its choosing.
func (a *Agent) OnCommit(before, after func() error) {
	a.store.BeforeCommit, a.store.AfterCommit = before, after
}

// KeepNoHealth makes every look at the health listener a fresh one.
func (a *Agent) KeepNoHealth() {
	if a.health != nil {
		a.health.states, a.health.vitals = keep{}, keep{}
	}
}
