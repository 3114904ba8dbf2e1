package agents

// OnCommit lets a test die at a commit of its choosing.
func (a *Agent) OnCommit(before, after func() error) {
	a.store.BeforeCommit, a.store.AfterCommit = before, after
}
