package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// demoOutput prints steps for people or for programs.
type demoOutput struct {
	w      io.Writer
	json   bool
	steps  int
	failed int
	total  time.Duration
}

type stepLine struct {
	Step   string  `json:"step"`
	OK     bool    `json:"ok"`
	MS     float64 `json:"ms"`
	Detail string  `json:"detail,omitempty"`
}

func (o *demoOutput) say(format string, args ...any) {
	if !o.json {
		fmt.Fprintf(o.w, format+"\n", args...)
	}
}

func (o *demoOutput) step(name string, took time.Duration, detail string, err error) {
	o.steps++
	o.total += took
	ms := float64(took.Microseconds()) / 1000
	if err != nil {
		o.failed++
		detail = err.Error()
	}
	if o.json {
		o.encode(stepLine{Step: name, OK: err == nil, MS: ms, Detail: detail})
		return
	}
	mark := "ok    "
	if err != nil {
		mark = "FAILED"
	}
	fmt.Fprintf(o.w, "  %s  %-24s %8.1f ms  %s\n", mark, name, ms, detail)
}

func (o *demoOutput) summary() {
	if o.failed == 0 {
		o.say("%d steps, all as they should be, %.0f ms in all.", o.steps, float64(o.total.Microseconds())/1000)
		return
	}
	o.say("%d steps, %d of them not as they should be.", o.steps, o.failed)
}

type readyAgency struct {
	Role     string `json:"role"`
	API      string `json:"api"`
	Token    string `json:"token"`
	Creds    string `json:"creds"`
	Identity string `json:"identity"`
	Systems  string `json:"systems"`
}

// ready prints how to reach everything. The tokens are the demo's own, on loopback, for invented data.
func (o *demoOutput) ready(n *demoNetwork) error {
	agencies := map[string]readyAgency{}
	for _, a := range n.agencies {
		agencies[a.id] = readyAgency{Role: string(a.role), API: a.url, Token: a.token, Creds: a.creds, Identity: a.identity, Systems: a.systems}
	}
	if o.json {
		return o.encode(struct {
			Step     string                 `json:"step"`
			OK       bool                   `json:"ok"`
			Broker   string                 `json:"broker"`
			Agencies map[string]readyAgency `json:"agencies"`
		}{"ready", o.failed == 0, n.broker.URL(), agencies})
	}
	o.say("\nEverything stays up until Ctrl-C. Broker: %s", n.broker.URL())
	for _, a := range n.agencies {
		r := agencies[a.id]
		o.say("\n%s (%s)\n  API       %s   (openapi.json beside it)\n  token     %s\n  creds     %s\n  identity  %s\n  systems   %s",
			a.id, r.Role, r.API, r.Token, r.Creds, r.Identity, r.Systems)
	}
	a := n.agencies[1]
	o.say("\nThe administrators' part is in %s: bundle, root.pub, report.html (open it in a browser), a proof and a disclosure.\n  go run ./cmd/waypost audit verify --bundle %[1]s/bundle --root %[1]s/root.pub", n.auditDir())
	o.say("\nTry, in another terminal:\n  WAYPOST_API=%s WAYPOST_TOKEN=%s go run ./cmd/waypost agent inbox", a.url, a.token)
	return nil
}

func (o *demoOutput) encode(v any) error {
	return json.NewEncoder(o.w).Encode(v)
}
