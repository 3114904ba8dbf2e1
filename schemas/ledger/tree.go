package ledger

import (
	"encoding/base64"
	"errors"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Tree grows a Merkle tree (RFC 6962) record by record and holds only its right edge: one hash for each one in the binary
// form of its size, at most 63. The zero Tree is empty. It is not safe for concurrent use.
type Tree struct {
	size int64
	edge []tlog.Hash // of full subtrees, the largest first
}

// Size is the number of records.
func (t *Tree) Size() int64 { return t.size }

// Append adds a leaf and returns the hashes it completes: its own, and one for each level at which it fills a subtree.
// They are what tlog.StoredHashesForRecordHash returns, and what the record carries in its header.
func (t *Tree) Append(leaf tlog.Hash) []tlog.Hash {
	done := make([]tlog.Hash, 1, 1+bits.TrailingZeros64(^uint64(t.size))) //nolint:gosec // sizes are not negative
	done[0] = leaf
	h := leaf
	for n := t.size; n&1 == 1; n >>= 1 {
		h = tlog.NodeHash(t.edge[len(t.edge)-1], h)
		t.edge = t.edge[:len(t.edge)-1]
		done = append(done, h)
	}
	t.edge = append(t.edge, h)
	t.size++
	return done
}

// Root is the hash of the whole tree; of the empty one, SHA-256 of nothing.
func (t *Tree) Root() tlog.Hash {
	if t.size == 0 {
		return emptyRoot
	}
	h := t.edge[len(t.edge)-1]
	for i := len(t.edge) - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.edge[i], h)
	}
	return h
}

// Clone is a copy that grows on its own.
func (t *Tree) Clone() *Tree { return &Tree{size: t.size, edge: append([]tlog.Hash(nil), t.edge...)} }

// emptyRoot is SHA-256 of nothing (RFC 6962).
var emptyRoot = tlog.Hash{0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
	0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55}

// Resume takes up a tree of n records from its stored hashes.
func Resume(n int64, r tlog.HashReader) (*Tree, error) {
	t := &Tree{size: n}
	var need []int64
	for start, level := int64(0), 62; level >= 0; level-- {
		if n&(1<<level) != 0 {
			need = append(need, tlog.StoredHashIndex(level, start>>level))
			start += 1 << level
		}
	}
	if len(need) == 0 {
		return t, nil
	}
	edge, err := r.ReadHashes(need)
	if err != nil {
		return nil, err
	}
	t.edge = edge
	return t, nil
}

// HeldBy says which record carries a stored hash, and at which place among its hashes.
func HeldBy(index int64) (record int64, place int) {
	level, n := tlog.SplitStoredHashIndex(index)
	return (n+1)<<level - 1, level
}

// EncodeHashes writes a record's hashes as its header holds them: one after the other, in base64.
func EncodeHashes(hashes []tlog.Hash) string {
	raw := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		raw = append(raw, h[:]...)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// DecodeHashes reads what EncodeHashes wrote.
func DecodeHashes(s string) ([]tlog.Hash, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) == 0 || len(raw)%tlog.HashSize != 0 {
		return nil, errors.New("read hashes of a record: not base64 of whole hashes")
	}
	out := make([]tlog.Hash, len(raw)/tlog.HashSize)
	for i := range out {
		copy(out[i][:], raw[i*tlog.HashSize:])
	}
	return out, nil
}
