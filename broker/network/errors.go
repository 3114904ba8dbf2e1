package network

import "errors"

// ErrUnreachable: nothing answered at the broker's address. The folder is unchanged and can be published later.
var ErrUnreachable = errors.New("no broker answers")

// ErrNotFound: the directory does not hold the agency or agreement that was named.
var ErrNotFound = errors.New("not in the directory")

// Hinted is an error with a sentence that tells the administrator what to do next.
type Hinted struct {
	Err    error
	Advice string
}

func (e *Hinted) Error() string { return e.Err.Error() }
func (e *Hinted) Unwrap() error { return e.Err }

// Hint is the advice; the command line prints it below the error.
func (e *Hinted) Hint() string { return e.Advice }

func hint(err error, advice string) error { return &Hinted{Err: err, Advice: advice} }
