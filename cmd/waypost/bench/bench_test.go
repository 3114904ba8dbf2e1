package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// recorder remembers the phases and can do something when one begins.
type recorder struct {
	phases []string
	at     map[string]func()
}

func (r *recorder) Phase(what string, _ int) {
	r.phases = append(r.phases, what)
	if f := r.at[what]; f != nil {
		f()
	}
}

func (r *recorder) Done(int) {}

// TestRun runs everything in small and holds the figures against one another: none may be missing, and what must be ordered is.
func TestRun(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := filepath.Join(t.TempDir(), "kept")
	prof := filepath.Join(t.TempDir(), "profile")
	r, err := Run(t.Context(), Options{Agencies: 5, Active: 4, Messages: 40, Workers: 4, Idle: 5, Urgent: 4, UrgentBacklog: 20, Size: 4000, Dir: dir, Profile: prof})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Complete || r.Sent != 40 || r.Delivered != 40 || r.Seconds <= 0 || r.MessagesPerSecond <= 0 || r.FloorPerSecond <= 0 || r.FloorWithStores <= 0 || r.P50 <= 0 || r.P99 < r.P50 || r.UrgentP99 <= 0 {
		t.Errorf("%+v", r)
	}
	if want := ratio(r.MessagesPerSecond, r.FloorPerSecond); r.Ratio != want {
		t.Errorf("ratio %v, want %v", r.Ratio, want)
	}
	for name, stages := range map[string][]Stage{"load": r.Stages, "idle": r.Idle.Stages, "urgent": r.Urgent.Stages} {
		if len(stages) != len(stageWords) {
			t.Fatalf("%s: %d stages", name, len(stages))
		}
		for i, s := range stages {
			if s.Count == 0 || s.P50 <= 0 || s.P50 > s.P90 || s.P90 > s.P99 || s.P99 > s.Max {
				t.Errorf("%s: %+v", name, s)
			}
			// Accepted and stored are two ends of a fork: the broker may have it before the caller has read the answer.
			if i >= 2 && s.P50 < stages[i-1].P50 {
				t.Errorf("%s: %s before %s", name, s.Stage, stages[i-1].Stage)
			}
		}
	}
	if r.Stages[0].Count != 40 || r.Idle.Stages[4].Count != 5 {
		t.Errorf("%d of 40 and %d of 5 counted", r.Stages[0].Count, r.Idle.Stages[4].Count)
	}
	// The floor carries what Waypost carries: the same bytes, give or take a checkpoint that is not there yet.
	f := r.Floor.Sizes
	if d := int64(f.Plain+f.Note) + 1800 - r.Envelope.Bytes; d < -600 || d > 600 {
		t.Errorf("the floor carries %+v, Waypost %+v", f, r.Envelope)
	}
	if d := int64(f.Note) - r.Envelope.Note; d < -40 || d > 40 {
		t.Errorf("the floor's note has %d bytes, Waypost's %d", f.Note, r.Envelope.Note)
	}
	for _, name := range []string{"cpu", "heap", "allocs", "mutex", "block"} {
		if info, err := os.Stat(filepath.Join(prof, name+".pprof")); err != nil || info.Size() == 0 {
			t.Errorf("%s profile: %v", name, err)
		}
	}
	sinks, err := filepath.Glob(filepath.Join(dir, "agencies", "*", "sink", "*.json"))
	if want := 8 + 40 + 5 + 4 + 20 + 4; err != nil || len(sinks) != want {
		t.Errorf("%d files in the sinks, want %d", len(sinks), want)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "floor-*")); len(left) > 0 {
		t.Errorf("the floor left %v", left)
	}
	checkJSON(t, r)
	checkPage(t, r)
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil || !strings.Contains(table.String(), "UNDER LOAD") || strings.Contains(table.String(), "NOT COMPLETE") {
		t.Errorf("table: %v\n%s", err, &table)
	}
}

func checkJSON(t *testing.T, r *Result) {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"messages_per_s", "floor_per_s", "ratio", "floor_with_stores_per_s", "ratio_with_stores", "p50_ms", "p99_ms", "urgent_p99_ms"} {
		if v, ok := got[name].(float64); !ok || v <= 0 {
			t.Errorf("JSON: %s is %v", name, got[name])
		}
	}
	// deploy/bench/run.sh reads these two.
	if plain := got["floor"].(map[string]any)["sizes"].(map[string]any)["plain"]; plain != float64(r.Floor.Sizes.Plain) || plain == 0.0 {
		t.Errorf("JSON: floor.sizes.plain is %v", plain)
	}
	if idle, ok := got["idle"].(map[string]any)["p50_ms"].(float64); !ok || idle <= 0 {
		t.Error("JSON: no idle.p50_ms")
	}
	if got["type"] != ResultType || got["complete"] != true {
		t.Errorf("JSON: %v %v", got["type"], got["complete"])
	}
	// Nothing of a payload comes out.
	for _, word := range []string{"Test Person", "Albanian", "example.org", "Invented text"} {
		if strings.Contains(string(text), word) {
			t.Errorf("output holds %q", word)
		}
	}
}

// checkPage reads the page as XML, which its markup is but for the doctype, and looks for anything that would be loaded.
func checkPage(t *testing.T, r *Result) {
	t.Helper()
	var page bytes.Buffer
	if err := r.WritePage(&page, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"http:", "https:", "url(", "@import", "<script", "<link", "<img", " src=", " href="} {
		if strings.Contains(page.String(), s) {
			t.Errorf("the page holds %q", s)
		}
	}
	d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(page.String(), "<!DOCTYPE html>")))
	d.Strict, d.AutoClose = false, []string{"meta"}
	count, ids, refs := map[string]int{}, map[string]int{}, []string{}
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the page cannot be read: %v", err)
		}
		e, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		count[e.Name.Local]++
		for _, a := range e.Attr {
			switch a.Name.Local {
			case "id":
				ids[a.Value]++
			case "aria-labelledby":
				refs = append(refs, strings.Fields(a.Value)...)
			}
		}
	}
	if want := 3 * len(stageWords); count["svg"] != want || count["title"] != want+1 || count["desc"] != want || count["table"] < want || count["rect"] < want {
		t.Errorf("elements: %v", count)
	}
	for id, n := range ids {
		if n != 1 {
			t.Errorf("id %s is there %d times", id, n)
		}
	}
	for _, ref := range refs {
		if ids[ref] == 0 {
			t.Errorf("nothing has the id %s", ref)
		}
	}
}

// TestInterrupted ends a run in the middle of the load: what was measured before is in the result, nothing runs on.
func TestInterrupted(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rec := &recorder{at: map[string]func(){"load": cancel}}
	r, err := Run(ctx, Options{Agencies: 2, Messages: 400, Workers: 2, Idle: 3, Progress: rec})
	if !errors.Is(err, ErrInterrupted) {
		t.Fatalf("ended with %v", err)
	}
	if r == nil || r.Complete || r.Idle == nil || r.Idle.Stages[4].Count != 3 || r.Sent >= 400 || r.FloorPerSecond <= 0 {
		t.Errorf("%+v", r)
	}
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil || !strings.Contains(table.String(), "NOT COMPLETE") {
		t.Errorf("table: %v\n%s", err, &table)
	}
	if slices.Contains(rec.phases, "making a backlog") {
		t.Errorf("it went on: %v", rec.phases)
	}
}

// TestOptions: what breaks a rule is refused by name before anything is started.
func TestOptions(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for flag, o := range map[string]Options{
		"agencies": {Agencies: 1}, "active": {Agencies: 4, Active: 5}, "messages": {Messages: -1}, "size": {Size: 10}, "rate": {Rate: -1}, "workers": {Workers: 5000},
		"idle": {Idle: -1}, "urgent": {Urgent: -1}, "urgent-backlog": {UrgentBacklog: 5}, "dir": {Dir: full},
	} {
		r, err := Run(t.Context(), o)
		var bad *OptionError
		if !errors.As(err, &bad) || bad.Flag != flag || bad.Rule == "" || r != nil {
			t.Errorf("%s: %v", flag, err)
		}
	}
	for flag, o := range map[string]SimulateOptions{
		"agencies": {Agencies: []int{10, 10}, Measured: 10, Agreements: 1, Messages: 1}, "measured": {Agencies: []int{10}, Measured: 1, Agreements: 1, Messages: 1},
		"agreements": {Agencies: []int{10}, Measured: 10, Messages: 1}, "messages": {Agencies: []int{10}, Measured: 10, Agreements: 1},
	} {
		_, err := Simulate(t.Context(), o)
		var bad *OptionError
		if !errors.As(err, &bad) || bad.Flag != flag {
			t.Errorf("simulate %s: %v", flag, err)
		}
	}
}

// TestSizes: a submission has the size that was asked for.
func TestSizes(t *testing.T) {
	least, most, err := sizes()
	if err != nil || least < 1000 || most < least+5000 {
		t.Fatalf("%d to %d, %v", least, most, err)
	}
	for _, example := range []string{routineExample, urgentExample} {
		for _, size := range []int{least + 2, most} {
			doc, err := document(example, longest, size)
			if err != nil || len(doc) != size {
				t.Errorf("%s: %d bytes, want %d, %v", example, len(doc), size, err)
			}
		}
	}
}

// TestAcked reads both shapes of an acknowledgement's subject.
func TestAcked(t *testing.T) {
	for subject, want := range map[string]int{
		"$JS.ACK.MAIL_ROUTINE.bench-0001.1.55.3.1700000000000000000.0":            55,
		"$JS.ACK._.AbCd1234.MAIL_RECEIPT.bench-0001.1.77.3.1700000000000000000.0": 77,
		"$JS.ACK.KV_DIRECTORY.x.1.5.3.17.0":                                       0,
		"$JS.ACK.MAIL_ROUTINE.x":                                                  0,
		"$JS.ACK.MAIL_ROUTINE.x.1.-4.3.17.0":                                      0,
	} {
		if _, seq := acked(subject); seq != want {
			t.Errorf("%s: %d, want %d", subject, seq, want)
		}
	}
}
