package broker

// SetFeature turns a NATS feature flag on, before Run.
func (b *Broker) SetFeature(flag string) {
	b.opts.FeatureFlags = map[string]bool{flag: true}
}
