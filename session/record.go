package session

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// header is the first line of a record; the codec's bytes follow it.
//
//	ts1 created=1763869020123 epoch=0 secret=JkP…43 characters…\n{"Views":1}
type header struct {
	created int64  // Unix time in milliseconds, from which Lifetime counts
	epoch   uint64 // how often every token given away before was ended at once
	secret  digest // of the secret that opens the session
}

const format = "ts1"

var errRecord = errors.New("not a session record")

func (h *header) appendTo(b []byte) []byte {
	b = append(b, format+" created="...)
	b = strconv.AppendInt(b, h.created, 10)
	b = append(b, " epoch="...)
	b = strconv.AppendUint(b, h.epoch, 10)
	b = append(b, " secret="...)
	b = base64url.AppendEncode(b, h.secret[:])
	return append(b, '\n')
}

// maxHeaderLen is more than a header of this format can be long.
const maxHeaderLen = 160

// parseRecord takes a record apart. The payload is part of data.
func parseRecord(data []byte) (h header, payload []byte, err error) {
	line := data[:min(len(data), maxHeaderLen)]
	end := bytes.IndexByte(line, '\n')
	if end < 0 {
		return h, nil, fmt.Errorf("%w: it has no first line", errRecord)
	}
	name, rest, _ := bytes.Cut(line[:end], space)
	if string(name) != format {
		return h, nil, fmt.Errorf("%w: its format is not %s; a newer version of this package may have written it", errRecord, format)
	}
	created, rest, ok1 := cutField(rest, "created=")
	epoch, rest, ok2 := cutField(rest, "epoch=")
	secret, rest, ok3 := cutField(rest, "secret=")
	if !ok1 || !ok2 || !ok3 || len(rest) > 0 {
		return h, nil, fmt.Errorf("%w: its first line is malformed", errRecord)
	}
	h.created, err = strconv.ParseInt(string(created), 10, 64)
	if err != nil || h.created < 0 || h.created > maxMillis {
		return h, nil, fmt.Errorf("%w: its time is malformed", errRecord)
	}
	h.epoch, err = strconv.ParseUint(string(epoch), 10, 64)
	if err != nil {
		return h, nil, fmt.Errorf("%w: its epoch is malformed", errRecord)
	}
	if len(secret) != secretLen {
		return h, nil, fmt.Errorf("%w: its secret is malformed", errRecord)
	}
	if _, err := strictBase64.Decode(h.secret[:], secret); err != nil {
		return h, nil, fmt.Errorf("%w: its secret is malformed", errRecord)
	}
	return h, data[end+1:], nil
}

// maxMillis keeps times within what nanoseconds can be counted to: the year 2200.
var maxMillis = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

var (
	strictBase64 = base64url.Strict()
	space        = []byte(" ")
)

// cutField takes the value of the first field, which must have this prefix.
func cutField(line []byte, prefix string) (value, rest []byte, ok bool) {
	value, rest, _ = bytes.Cut(line, space)
	if len(value) < len(prefix) || string(value[:len(prefix)]) != prefix {
		return nil, nil, false
	}
	return value[len(prefix):], rest, true
}
