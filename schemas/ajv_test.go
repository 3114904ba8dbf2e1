package schemas

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// TestAjvAgrees has ajv, the JSON Schema implementation that integrators are most likely to use, judge every example and
// thousands of broken ones, and compares its verdicts with the agent's.
func TestAjvAgrees(t *testing.T) {
	const dir = "testdata/ajv"
	if _, err := os.Stat(dir + "/node_modules/ajv"); err != nil || !hasNode() {
		if os.Getenv("WAYPOST_REQUIRE") == "all" {
			t.Fatal("node or ajv is missing; run: npm ci --prefix schemas/testdata/ajv")
		}
		t.Skip("skipped: needs node and `npm ci --prefix schemas/testdata/ajv`")
	}
	type question struct {
		Schema   string          `json:"schema"`
		Document json.RawMessage `json:"document"`
	}
	var questions []question
	var types []reflect.Type
	ask := func(s schemaType, doc any) {
		data, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		questions, types = append(questions, question{s.name, data}), append(types, s.typ)
	}
	for _, s := range schemaTypes {
		docs := corpus(t, s.name)
		for _, doc := range docs {
			ask(s, doc)
		}
		for seed := range 250 {
			doc := rapid.Custom(func(rt *rapid.T) any {
				doc := clone(rapid.SampledFrom(docs).Draw(rt, "document"))
				if rapid.IntRange(0, 4).Draw(rt, "source") == 0 {
					doc = arbitrary(rt, s.typ, nil, 0)
				}
				for range rapid.IntRange(0, 3).Draw(rt, "mutations") {
					mutate(rt, s.typ, doc)
				}
				return doc
			}).Example(seed)
			ask(s, doc)
		}
	}
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	enc.SetEscapeHTML(false)
	for _, q := range questions {
		if err := enc.Encode(q); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("node", "check.mjs", "../..")
	cmd.Dir, cmd.Stdin = dir, &in
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, complaint.String())
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	verdicts := map[bool]int{}
	i := 0
	for ; lines.Scan(); i++ {
		var answer struct {
			Valid  bool     `json:"valid"`
			Errors []string `json:"errors"`
		}
		if err := json.Unmarshal(lines.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		_, err := decodeAt(types[i], questions[i].Document, testNow)
		var invalid *InvalidError
		if err != nil && !errors.As(err, &invalid) {
			t.Fatal(err)
		}
		var broken []Problem
		if invalid != nil {
			broken = slices.DeleteFunc(slices.Clone(invalid.Problems), beyondSchema)
		}
		verdicts[answer.Valid]++
		if answer.Valid != (len(broken) == 0) {
			t.Errorf("%s: ours %v, ajv %v\n%s", questions[i].Schema, broken, answer.Errors, short(questions[i].Document))
		}
	}
	if i != len(questions) || verdicts[true] < 100 || verdicts[false] < 100 {
		t.Errorf("%d of %d answered: %v", i, len(questions), verdicts)
	}
	t.Logf("%d documents: %d valid, %d not", i, verdicts[true], verdicts[false])
}

func hasNode() bool {
	_, err := exec.LookPath("node")
	return err == nil
}

func short(b []byte) string {
	if len(b) > 1500 {
		return string(b[:1500]) + "… " + strconv.Itoa(len(b)) + " bytes"
	}
	return string(b)
}
