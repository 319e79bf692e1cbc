package history

import (
	"cmp"
	"errors"

	"github.com/tokensession/tokensession"
)

// named are the errors that only an answer of the backend, or a look at the arguments, can
// justify.
var named = []struct {
	err  error
	name string
}{
	{tokensession.ErrNotFound, "ErrNotFound"},
	{tokensession.ErrExists, "ErrExists"},
	{tokensession.ErrConflict, "ErrConflict"},
	{tokensession.ErrClosed, "ErrClosed"},
	{tokensession.ErrTooLarge, "ErrTooLarge"},
	{tokensession.ErrCorrupt, "ErrCorrupt"},
	{tokensession.ErrInvalidID, "ErrInvalidID"},
	{tokensession.ErrInvalidOwner, "ErrInvalidOwner"},
	{tokensession.ErrInvalidTTL, "ErrInvalidTTL"},
}

func nameOf(err error) string {
	for _, n := range named {
		if errors.Is(err, n.err) {
			return n.name
		}
	}
	return ""
}

// ErrorName is the name of an error of package tokensession, and the text of any other.
func ErrorName(err error) string {
	if err == nil {
		return "nil"
	}
	return cmp.Or(nameOf(err), err.Error())
}

// Answered reports whether err is an error of package tokensession.
func Answered(err error) bool { return nameOf(err) != "" }

// Known reports whether err is one of the outcomes that an outage must not be taken for.
func Known(err error) bool {
	return errors.Is(err, tokensession.ErrNotFound) || errors.Is(err, tokensession.ErrExists) ||
		errors.Is(err, tokensession.ErrConflict)
}
