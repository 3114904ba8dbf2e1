package notary_test

import (
	"os"
	"path/filepath"
	"testing"

	"waypost/schemas"
)

// TestBytesFlippedOnDisk changes the stream's files under a stopped broker: in the middle of a record, in its headers, and
// cuts the end off. Afterwards the broker carries messages all the same, and no audit calls the record whole.
func TestBytesFlippedOnDisk(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"a byte in the middle": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"a byte near the end":  func(b []byte) []byte { b[len(b)-200] ^= 0x40; return b },
		"the end cut off":      func(b []byte) []byte { return b[:len(b)-len(b)/3] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, police, ngo := networkOf(t)
			for range 10 {
				police.send(t, b, ngo.ID(), schemas.LaneUrgent, nil)
			}
			whole(t, b, 10)
			b.Stop(t)
			files, err := filepath.Glob(filepath.Join(b.Data(), "streams", "jetstream", "*", "streams", "LEDGER", "msgs", "*.blk"))
			if err != nil || len(files) != 1 {
				t.Fatalf("%v %v", files, err)
			}
			raw, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(files[0], spoil(raw), 0o600); err != nil {
				t.Fatal(err)
			}
			b.Restart(t)
			police.send(t, b, ngo.ID(), schemas.LaneUrgent, nil)
			if clean(t, b) {
				t.Error("an audit calls it whole")
			}
		})
	}
}
