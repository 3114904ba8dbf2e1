package bench

import (
	"os"
	"path/filepath"
)

// folder makes the run's folder; remove takes a temporary one away. Broker, agencies and floors are one machine each in life:
// here they at least do not share a block group of the file system.
func folder(o *Options) (dir string, remove func(), err error) {
	remove = func() {}
	if o.Dir == "" {
		if dir, err = os.MkdirTemp("", "waypost-bench-"); err == nil {
			remove = func() { _ = os.RemoveAll(dir) }
		}
	} else if dir, err = filepath.Abs(o.Dir); err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		agencies := filepath.Join(dir, "agencies")
		spread(dir)
		err = os.MkdirAll(agencies, 0o700)
		spread(agencies)
	}
	return dir, remove, err
}
