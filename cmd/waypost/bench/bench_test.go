package bench

import (
	"encoding/json"
	"os"
	"testing"
)

func TestRun(t *testing.T) {
	r, err := Run(t.Context(), Options{Agencies: 5, Active: 4, Messages: 40, Workers: 4, Idle: 5, Urgent: 5, UrgentBacklog: 20})
	b, _ := json.MarshalIndent(r, "", " ")
	os.Stdout.Write(b)
	if err != nil {
		t.Fatal(err)
	}
}
