package health

import (
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// build says which program of which version runs: the module's version and the commit it was built from, as far as the
// build recorded them.
func build(program string) prometheus.Collector {
	version, revision, runtime := "unknown", "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version, runtime = info.Main.Version, info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "waypost_build_info", Help: "1; which program runs, built from what.",
		ConstLabels: prometheus.Labels{"program": program, "version": version, "revision": revision, "go": runtime},
	})
	g.Set(1)
	return g
}
