package bench

import "context"

func (r *run) processes(ctx context.Context, dir string) error { return nil }
