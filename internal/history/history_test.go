package history

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tokensession/tokensession"
)

func TestLinearizable(t *testing.T) {
	timeout := errors.New("timeout")
	tests := []struct {
		name    string
		want    bool
		history []Event
	}{
		{"nothing", true, nil},
		{"a read of what was written", true, []Event{
			{Op: "Create", To: 1, Begin: 1, End: 2},
			{Op: "Get", To: 1, Begin: 3, End: 4}}},
		{"a read of what was not yet written", false, []Event{
			{Op: "Get", To: 1, Begin: 1, End: 2},
			{Op: "Create", To: 1, Begin: 3, End: 4}}},
		{"a read beside a write, either way", true, []Event{
			{Op: "Create", To: 1, Begin: 1, End: 9},
			{Op: "Get", Err: tokensession.ErrNotFound, Begin: 2, End: 3},
			{Op: "Get", To: 1, Begin: 4, End: 5}}},
		{"a read beside a write, to and fro", false, []Event{
			{Op: "Create", To: 1, Begin: 1, End: 9},
			{Op: "Get", To: 1, Begin: 2, End: 3},
			{Op: "Get", Err: tokensession.ErrNotFound, Begin: 4, End: 5}}},
		{"a stale read", false, []Event{
			{Op: "Create", To: 1, Begin: 1, End: 2},
			{Op: "Update", From: 1, To: 2, Begin: 3, End: 4},
			{Op: "Get", To: 1, Begin: 5, End: 6}}},
		{"two Updates from one state", false, []Event{
			{Op: "Create", To: 1, Begin: 1, End: 2},
			{Op: "Update", From: 1, To: 2, Begin: 3, End: 6},
			{Op: "Update", From: 1, To: 3, Begin: 4, End: 5}}},
		{"a conflict with nobody", false, []Event{
			{Op: "Create", To: 1, Begin: 1, End: 2},
			{Op: "Update", From: 1, To: 2, Err: tokensession.ErrConflict, Begin: 3, End: 4}}},
		{"a Touch that revives", false, []Event{
			{Op: "Create", To: 1, Begin: 1, End: 2},
			{Op: "Delete", Begin: 3, End: 4},
			{Op: "Touch", Begin: 5, End: 6}}},
		{"unknown, and never", true, []Event{
			{Op: "Create", To: 1, Err: timeout, Begin: 1, End: 2},
			{Op: "Get", Err: tokensession.ErrNotFound, Begin: 3, End: 4}}},
		{"unknown, and later", true, []Event{
			{Op: "Create", To: 1, Err: timeout, Begin: 1, End: 2},
			{Op: "Get", Err: tokensession.ErrNotFound, Begin: 3, End: 4},
			{Op: "Get", To: 1, Begin: 5, End: 6}}},
		{"unknown, and twice", false, []Event{
			{Op: "Create", To: 1, Err: timeout, Begin: 1, End: 2},
			{Op: "Get", To: 1, Begin: 3, End: 4},
			{Op: "Delete", Begin: 5, End: 6},
			{Op: "Get", To: 1, Begin: 7, End: 8}}},
		{"unknown, and before it began", false, []Event{
			{Op: "Get", To: 1, Begin: 1, End: 2},
			{Op: "Create", To: 1, Err: timeout, Begin: 3, End: 4}}},
	}
	for _, test := range tests {
		if got := Linearizable(test.history); got != test.want {
			t.Errorf("%s: Linearizable = %v, want %v", test.name, got, test.want)
		}
	}
}

func TestEventNamesErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("get x…: %w", tokensession.ErrNotFound), "   1 to    2  Get() = ErrNotFound"},
		{errors.New("broken pipe"), "   1 to    2  Get() = broken pipe"},
		{nil, "   1 to    2  Get() = s7"},
	} {
		if got := (Event{Op: "Get", To: 7, Err: c.err, Begin: 1, End: 2}).String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
