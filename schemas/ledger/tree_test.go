package ledger

import (
	"encoding/base64"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// grown is a tree of n leaves made by the reference implementation: its stored hashes, and its root at each size.
type grown struct {
	stored []tlog.Hash
	roots  []tlog.Hash
}

func (g *grown) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = g.stored[x]
	}
	return out, nil
}

func leafOf(i int) tlog.Hash { return Leaf(fmt.Appendf(nil, "record %d", i)) }

func grow(t *testing.T, n int) *grown {
	t.Helper()
	g := &grown{}
	for i := range n + 1 {
		root, err := tlog.TreeHash(int64(i), g)
		if err != nil {
			t.Fatal(err)
		}
		g.roots = append(g.roots, root)
		hashes, err := tlog.StoredHashesForRecordHash(int64(i), leafOf(i), g)
		if err != nil {
			t.Fatal(err)
		}
		g.stored = append(g.stored, hashes...)
	}
	return g
}

// The tree is that of the reference implementation at every size, as is one that is taken up at any size, and the hashes
// that each record carries are the stored ones, found again by HeldBy.
func TestTreeIsTheReference(t *testing.T) {
	const n = 300
	g := grow(t, n)
	var tree Tree
	next := int64(0)
	for i := range n {
		if tree.Size() != int64(i) || tree.Root() != g.roots[i] {
			t.Fatalf("size %d: another root", i)
		}
		resumed, err := Resume(int64(i), g)
		if err != nil || resumed.Size() != int64(i) || resumed.Root() != g.roots[i] {
			t.Fatalf("size %d: resumed to another root: %v", i, err)
		}
		clone := tree.Clone()
		done := tree.Append(leafOf(i))
		if clone.Root() != g.roots[i] || clone.Size() != int64(i) {
			t.Fatalf("size %d: a clone grew with its tree", i)
		}
		for _, other := range []*Tree{resumed, clone} {
			if !slices.Equal(other.Append(leafOf(i)), done) || other.Root() != tree.Root() {
				t.Fatalf("size %d: a tree taken up grows otherwise", i)
			}
		}
		for place, h := range done {
			if g.stored[next] != h {
				t.Fatalf("record %d: hash %d is not the stored one", i, place)
			}
			if record, p := HeldBy(next); record != int64(i) || p != place {
				t.Fatalf("stored hash %d is held by record %d at %d, and HeldBy says %d at %d", next, i, place, record, p)
			}
			next++
		}
		decoded, err := DecodeHashes(EncodeHashes(done))
		if err != nil || !slices.Equal(decoded, done) {
			t.Fatalf("record %d: hashes do not come back: %v", i, err)
		}
	}
	if tree.Root() != g.roots[n] || tlog.StoredHashCount(n) != next {
		t.Fatal("the end is another")
	}
}

// A resumed tree of any size grows on to the same end.
func TestResumeGrowsOn(t *testing.T) {
	const n = 70
	g := grow(t, n)
	for i := range n {
		tree, err := Resume(int64(i), g)
		if err != nil {
			t.Fatal(err)
		}
		for j := i; j < n; j++ {
			tree.Append(leafOf(j))
		}
		if tree.Root() != g.roots[n] {
			t.Errorf("taken up at %d: another root", i)
		}
	}
	broken := tlog.HashReaderFunc(func([]int64) ([]tlog.Hash, error) { return nil, fmt.Errorf("gone") })
	if tree, err := Resume(5, broken); err == nil || tree != nil {
		t.Error("resumed from nothing")
	}
	if tree, err := Resume(0, broken); err != nil || tree.Root() != g.roots[0] {
		t.Error("an empty tree needs no hashes")
	}
}

func TestDecodeHashesRefuses(t *testing.T) {
	good := EncodeHashes([]tlog.Hash{leafOf(1)})
	for _, s := range []string{"", "=", good[:40], good + "=", good + good, "AAAA", " " + good, good[:42] + "9=", base64.StdEncoding.EncodeToString(make([]byte, 33))} {
		if h, err := DecodeHashes(s); err == nil || h != nil {
			t.Errorf("%q: accepted", s)
		}
	}
}

// bare is a checkpoint of which only the tree matters.
func bare(size int, root tlog.Hash) *Checkpoint {
	return &Checkpoint{Origin: "waypost-log-0123456789abcdef", Size: int64(size), Root: root}
}

// Every inclusion proof and every consistency proof up to 64 records holds, for its own pair and for no other.
func TestProofsOfAllPairs(t *testing.T) {
	const n = 64
	g := grow(t, n)
	tried, wrong := 0, 0
	for size := 1; size <= n; size++ {
		c := bare(size, g.roots[size])
		for i := range size {
			p, err := tlog.ProveRecord(int64(size), int64(i), g)
			if err != nil {
				t.Fatal(err)
			}
			record := fmt.Appendf(nil, "record %d", i)
			hashes := FormatHashes(p)
			tried++
			if err := CheckInclusion(c, int64(i), record, hashes); err != nil {
				t.Fatalf("record %d of %d: %v", i, size, err)
			}
			refuse := func(what string, err error) {
				if wrong++; err == nil {
					t.Errorf("record %d of %d, %s: accepted", i, size, what)
				}
			}
			refuse("next index", CheckInclusion(c, int64(i+1), record, hashes))
			refuse("negative index", CheckInclusion(c, -1, record, hashes))
			refuse("another record", CheckInclusion(c, int64(i), append(record, 'x'), hashes))
			refuse("a hash more", CheckInclusion(c, int64(i), record, append(slices.Clone(hashes), hashes0(g))))
			refuse("another size", CheckInclusion(bare(size+n, g.roots[size]), int64(i), record, hashes))
			refuse("another root", CheckInclusion(bare(size, g.roots[size-1]), int64(i), record, hashes))
			for k := range hashes {
				x := slices.Clone(hashes)
				x[k] = hashes0(g)
				if x[k] != hashes[k] {
					refuse("another hash", CheckInclusion(c, int64(i), record, x))
				}
				refuse("a hash less", CheckInclusion(c, int64(i), record, slices.Delete(slices.Clone(hashes), k, k+1)))
				x[k] = "AAAA"
				refuse("half a hash", CheckInclusion(c, int64(i), record, x))
				x[k] = base64.StdEncoding.EncodeToString(append(p[k][:], 0))
				refuse("a hash and more", CheckInclusion(c, int64(i), record, x))
			}
		}
		for older := 1; older <= size; older++ {
			p, err := tlog.ProveTree(int64(size), int64(older), g)
			if err != nil {
				t.Fatal(err)
			}
			hashes := FormatHashes(p)
			tried++
			if err := CheckConsistency(bare(older, g.roots[older]), c, hashes); err != nil {
				t.Fatalf("%d of %d: %v", older, size, err)
			}
			refuse := func(what string, err error) {
				if wrong++; err == nil {
					t.Errorf("%d of %d, %s: accepted", older, size, what)
				}
			}
			refuse("another older root", CheckConsistency(bare(older, leafOf(1000)), c, hashes))
			refuse("another newer root", CheckConsistency(bare(older, g.roots[older]), bare(size, leafOf(1000)), hashes))
			if older < size {
				refuse("the other way round", CheckConsistency(c, bare(older, g.roots[older]), hashes))
				refuse("no proof", CheckConsistency(bare(older, g.roots[older]), c, nil))
				refuse("a hash more", CheckConsistency(bare(older, g.roots[older]), c, append(slices.Clone(hashes), hashes0(g))))
				for k := range hashes {
					x := slices.Clone(hashes)
					x[k] = FormatHashes([]tlog.Hash{leafOf(1000)})[0]
					refuse("another hash", CheckConsistency(bare(older, g.roots[older]), c, x))
					x[k] += "A"
					refuse("no hash", CheckConsistency(bare(older, g.roots[older]), c, x))
				}
			}
			other := bare(older, g.roots[older])
			other.Origin = "waypost-log-fedcba9876543210"
			refuse("another log", CheckConsistency(other, c, hashes))
		}
	}
	t.Logf("%d proofs hold, %d wrong ones are refused", tried, wrong)
	if err := CheckConsistency(bare(0, g.roots[0]), bare(5, g.roots[5]), nil); err != nil {
		t.Errorf("everything begins with nothing: %v", err)
	}
}

func hashes0(g *grown) string { return FormatHashes(g.stored[:1])[0] }
