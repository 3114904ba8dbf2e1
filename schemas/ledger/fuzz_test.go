package ledger

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"
)

// seeds adds what a world holds; it fails when there is too little, so that a fuzz target never passes on nothing.
func seeds(f *testing.F, minimum int, list ...[]byte) {
	f.Helper()
	if len(list) < minimum {
		f.Fatalf("%d seeds, want %d at least", len(list), minimum)
	}
	for _, s := range list {
		f.Add(s)
		if len(s) > 3 {
			f.Add(s[:len(s)/2])
			f.Add(append(bytes.Clone(s), '\n'))
		}
	}
}

// bounded fails when reading takes far more memory than what is read: the limits of every format are to hold before it is
// looked into.
func bounded(t *testing.T, input int, read func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	read()
	runtime.ReadMemStats(&after)
	// Other goroutines of the fuzzing engine allocate beside it.
	if used := after.TotalAlloc - before.TotalAlloc; used > uint64(64*input+8<<20) {
		t.Fatalf("reading %d bytes took %d", input, used)
	}
}

func coded(t *testing.T, err error) {
	t.Helper()
	if e, ok := errors.AsType[*Error](err); !ok || e.Code == "" {
		t.Fatalf("refused without a code: %v", err)
	}
}

// FuzzParseRecord: no input panics, what parses encodes to the same bytes, and so does its manifest or act.
func FuzzParseRecord(f *testing.F) {
	w := newWorld(f, 1, 12)
	seeds(f, 30, w.raw...)
	f.Fuzz(func(t *testing.T, raw []byte) {
		bounded(t, len(raw), func() {
			r, err := ParseRecord(raw)
			if err != nil {
				coded(t, err)
				return
			}
			again, err := r.Encode()
			if err != nil || !bytes.Equal(again, raw) {
				t.Fatalf("accepted a record that does not encode to itself: %v", err)
			}
			if r.Kind == KindMail {
				if m, line, err := r.Manifest(); (err == nil) != (m != nil && line != nil) {
					t.Fatalf("manifest %v with %v", m, err)
				}
			}
			// Both verifiers agree on what is a record.
			if secondParseRecord(raw) == nil {
				t.Fatalf("the second verifier refuses %q", raw)
			}
		})
		if r := secondParseRecord(raw); r != nil {
			if _, err := ParseRecord(raw); err != nil {
				t.Fatalf("the second verifier accepts what is refused with %v: %q", err, raw)
			}
		}
	})
}

// FuzzParseCheckpoint: no input panics and what parses is written the same.
func FuzzParseCheckpoint(f *testing.F) {
	w := newWorld(f, 1, 12)
	seeds(f, 3, w.cps...)
	f.Fuzz(func(t *testing.T, raw []byte) {
		bounded(t, len(raw), func() {
			c, err := ParseCheckpoint(raw)
			if err != nil {
				coded(t, err)
				if c != nil {
					t.Fatal("refused with a result")
				}
				return
			}
			if !bytes.Equal(c.Raw(), raw) || c.Size < 0 || !c.Same(c) {
				t.Fatal("accepted a checkpoint that does not encode to itself")
			}
			if m := c.Merge(c); len(m.sigs) > len(c.sigs) {
				t.Fatal("grew by itself")
			}
			_ = c.Only("nobody").Raw()
		})
		if secondParseCheckpoint(raw) != nil {
			if _, err := ParseCheckpoint(raw); err != nil {
				t.Fatalf("the second verifier accepts what is refused with %v: %q", err, raw)
			}
		}
	})
}

// FuzzParseAct: no input panics, and what parses is its author's one spelling.
func FuzzParseAct(f *testing.F) {
	w := newWorld(f, 1, 12)
	var acts [][]byte
	for _, r := range w.recs {
		if r.Kind == KindAct {
			acts = append(acts, r.Note)
		}
	}
	seeds(f, 5, acts...)
	f.Fuzz(func(t *testing.T, raw []byte) {
		bounded(t, len(raw), func() {
			a, line, err := ParseAct(raw)
			if err != nil {
				coded(t, err)
				if a != nil || line != nil {
					t.Fatal("refused with a result")
				}
				return
			}
			if secondParseLine(raw, 8192) == nil {
				t.Fatal("no signed line to the second verifier")
			}
			if v, err := VerifyAct(raw, w.root, nil); err == nil && (v.By != w.root.Name() || !slices.ContainsFunc(acts, func(s []byte) bool { return bytes.Equal(s, raw) })) {
				t.Fatalf("verified an act of %s that nobody signed", a.By)
			}
		})
	})
}

// FuzzProof: no input panics, what parses encodes to itself, and what holds is one of those that were made.
func FuzzProof(f *testing.F) {
	w := smallWorld(f, 1)
	var made [][]byte
	for i := range w.raw {
		if w.recs[i].Kind != KindMail && w.recs[i].Kind != KindAct && i > 0 {
			continue
		}
		raw, err := EncodeProof(w.prove(i, w.cps[1], police, ngo))
		w.must(err)
		made = append(made, raw)
	}
	seeds(f, 4, made...)
	f.Fuzz(func(t *testing.T, raw []byte) {
		bounded(t, len(raw), func() {
			p, err := ParseProof(raw)
			if err != nil {
				coded(t, err)
				if p != nil {
					t.Fatal("refused with a result")
				}
				return
			}
			again, err := EncodeProof(p)
			if err != nil || !bytes.Equal(again, raw) {
				t.Fatalf("accepted a proof that does not encode to itself: %v", err)
			}
			if ev, err := p.Check(w.root, 2); err == nil {
				if !slices.ContainsFunc(made, func(m []byte) bool { return bytes.Equal(m, raw) }) {
					t.Fatal("a proof holds that nobody made")
				}
			} else if ev != nil {
				t.Fatal("refused with evidence")
			}
		})
	})
}

// FuzzDisclosure: as FuzzProof; only the file key may be another, for it is what the body opens with.
func FuzzDisclosure(f *testing.F) {
	w := smallWorld(f, 1)
	m := w.sent[0]
	made, err := EncodeDisclosure(&Disclosure{FileKey: base64.StdEncoding.EncodeToString(make([]byte, 16)),
		Envelope: base64.StdEncoding.EncodeToString(w.raws[m.ID]), Proof: *w.prove(w.find(KindMail), w.cps[1], police, ngo)})
	w.must(err)
	seeds(f, 1, made)
	f.Fuzz(func(t *testing.T, raw []byte) {
		bounded(t, len(raw), func() {
			d, err := ParseDisclosure(raw)
			if err != nil {
				coded(t, err)
				if d != nil {
					t.Fatal("refused with a result")
				}
				return
			}
			again, err := EncodeDisclosure(d)
			if err != nil || !bytes.Equal(again, raw) {
				t.Fatalf("accepted a disclosure that does not encode to itself: %v", err)
			}
			ev, env, key, err := d.Check(w.root, 2)
			if err != nil {
				if ev != nil || env != nil || key != nil {
					t.Fatal("refused with a result")
				}
				return
			}
			d.FileKey = base64.StdEncoding.EncodeToString(make([]byte, 16))
			if again, _ := EncodeDisclosure(d); !bytes.Equal(again, made) {
				t.Fatal("a disclosure holds that nobody made")
			}
		})
	})
}

// FuzzBundleFrame: no input panics, a frame that says it is huge takes no memory, and what is read is written the same.
func FuzzBundleFrame(f *testing.F) {
	w := smallWorld(f, 1)
	var list [][]byte
	var all bytes.Buffer
	for i, raw := range w.raw {
		var b bytes.Buffer
		out := bufio.NewWriter(io.MultiWriter(&b, &all))
		w.must(writeFrame(out, "record", int64(i), raw))
		w.must(out.Flush())
		list = append(list, b.Bytes())
	}
	list = append(list, all.Bytes(), []byte("record 0 1052672\nx\n"), []byte("record 0 1052673\nx\n"), []byte("record 0 300000000\nx\n"), []byte("record 0 99999999999999999999\n"), []byte("record 0 -1\n"),
		[]byte("record 00 1\nx\n"), []byte("record 0 01\nx\n"), []byte("record 0 0\n\n"), []byte("record 0 1\r\nx\n"), []byte("record 0 1\nxy"))
	seeds(f, 10, list...)
	f.Fuzz(func(t *testing.T, raw []byte) {
		bounded(t, len(raw), func() {
			var again bytes.Buffer
			out := bufio.NewWriter(&again)
			in := bufio.NewReader(bytes.NewReader(raw))
			n := 0
			for ; ; n++ {
				r, err := readFrame(in, "record", int64(n), MaxRecord)
				if err == io.EOF { //nolint:errorlint // only a clean end
					break
				}
				if err != nil {
					coded(t, err)
					if r != nil {
						t.Fatal("refused with a result")
					}
					if frames, ok := secondFrames("record", raw); ok && !slices.ContainsFunc(frames, func(x []byte) bool { return len(x) > MaxRecord }) {
						t.Fatalf("the second verifier reads what is refused with %v", err)
					}
					return
				}
				if err := writeFrame(out, "record", int64(n), r); err != nil {
					t.Fatal(err)
				}
			}
			if err := out.Flush(); err != nil || !bytes.Equal(again.Bytes(), raw) {
				t.Fatalf("%d frames are not written as they were read", n)
			}
			if frames, ok := secondFrames("record", raw); !ok || len(frames) != n {
				t.Fatal("the second verifier reads other frames")
			}
		})
	})
}
