package network

import (
	"errors"
	"os"
	"path/filepath"
)

// replace writes a temporary file in the same folder and moves it over the old one, which Windows does in one step.
func replace(path string, b []byte, _ os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
