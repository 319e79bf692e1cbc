package storetest

import (
	"errors"
	"testing"

	"github.com/tokensession/tokensession"
)

func TestLinearizable(t *testing.T) {
	timeout := errors.New("timeout")
	tests := []struct {
		name    string
		want    bool
		history []event
	}{
		{"nothing", true, nil},
		{"a read of what was written", true, []event{
			{op: "Create", to: 1, begin: 1, end: 2},
			{op: "Get", to: 1, begin: 3, end: 4}}},
		{"a read of what was not yet written", false, []event{
			{op: "Get", to: 1, begin: 1, end: 2},
			{op: "Create", to: 1, begin: 3, end: 4}}},
		{"a read beside a write, either way", true, []event{
			{op: "Create", to: 1, begin: 1, end: 9},
			{op: "Get", err: tokensession.ErrNotFound, begin: 2, end: 3},
			{op: "Get", to: 1, begin: 4, end: 5}}},
		{"a read beside a write, to and fro", false, []event{
			{op: "Create", to: 1, begin: 1, end: 9},
			{op: "Get", to: 1, begin: 2, end: 3},
			{op: "Get", err: tokensession.ErrNotFound, begin: 4, end: 5}}},
		{"a stale read", false, []event{
			{op: "Create", to: 1, begin: 1, end: 2},
			{op: "Update", from: 1, to: 2, begin: 3, end: 4},
			{op: "Get", to: 1, begin: 5, end: 6}}},
		{"two Updates from one state", false, []event{
			{op: "Create", to: 1, begin: 1, end: 2},
			{op: "Update", from: 1, to: 2, begin: 3, end: 6},
			{op: "Update", from: 1, to: 3, begin: 4, end: 5}}},
		{"a conflict with nobody", false, []event{
			{op: "Create", to: 1, begin: 1, end: 2},
			{op: "Update", from: 1, to: 2, err: tokensession.ErrConflict, begin: 3, end: 4}}},
		{"a Touch that revives", false, []event{
			{op: "Create", to: 1, begin: 1, end: 2},
			{op: "Delete", begin: 3, end: 4},
			{op: "Touch", begin: 5, end: 6}}},
		{"unknown, and never", true, []event{
			{op: "Create", to: 1, err: timeout, begin: 1, end: 2},
			{op: "Get", err: tokensession.ErrNotFound, begin: 3, end: 4}}},
		{"unknown, and later", true, []event{
			{op: "Create", to: 1, err: timeout, begin: 1, end: 2},
			{op: "Get", err: tokensession.ErrNotFound, begin: 3, end: 4},
			{op: "Get", to: 1, begin: 5, end: 6}}},
		{"unknown, and twice", false, []event{
			{op: "Create", to: 1, err: timeout, begin: 1, end: 2},
			{op: "Get", to: 1, begin: 3, end: 4},
			{op: "Delete", begin: 5, end: 6},
			{op: "Get", to: 1, begin: 7, end: 8}}},
		{"unknown, and before it began", false, []event{
			{op: "Get", to: 1, begin: 1, end: 2},
			{op: "Create", to: 1, err: timeout, begin: 3, end: 4}}},
	}
	for _, test := range tests {
		if got := linearizable(test.history); got != test.want {
			t.Errorf("%s: linearizable = %v, want %v", test.name, got, test.want)
		}
	}
}
