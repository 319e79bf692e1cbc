package faultnet_test

import (
	"bufio"
	"fmt"
	"net"
	"testing"

	"github.com/tokensession/tokensession/storetest/faultnet"
)

// A client whose request was carried out does not learn it: what does it say?
func Example() {
	_ = func(t *testing.T) {
		proxy := faultnet.New(t, "127.0.0.1:11211")
		conn, err := net.Dial("tcp", proxy.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()

		lost := proxy.Next(faultnet.Fault{End: faultnet.Reset})
		fmt.Fprint(conn, "delete key\r\n")
		if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
			t.Errorf("the answer came: %q", line)
		}
		<-lost
	}
}
