// Goroutines, the collector, maps, panics, faults that become panics, timers and select.
package main

import (
	"compress/gzip"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"os"
	"regexp"
	"runtime"
	"sort"
	"strings"
	"sync"
	"time"
)

type node struct {
	left, right *node
	value       int
}

func tree(depth int) *node {
	if depth == 0 {
		return &node{value: 1}
	}
	return &node{tree(depth - 1), tree(depth - 1), depth}
}

func (n *node) sum() int {
	if n == nil {
		return 0
	}
	return n.value + n.left.sum() + n.right.sum()
}

func try(what string, action func()) {
	defer func() { fmt.Println(what, "->", recover()) }()
	action()
}

func main() {
	var group sync.WaitGroup
	results := make(chan int, 10)
	for i := 0; i < 500; i++ {
		group.Add(1)
		go func(n int) {
			defer group.Done()
			s := 0
			for j := 0; j < 2000; j++ {
				s += j % (n + 1)
				if j%500 == 0 {
					runtime.Gosched()
				}
			}
			results <- s
		}(i)
	}
	go func() { group.Wait(); close(results) }()
	total := 0
	for r := range results {
		total += r
	}
	fmt.Println("goroutines", total)

	total = 0
	for i := 0; i < 20; i++ {
		total += tree(14).sum()
	}
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	fmt.Println("trees", total, stats.NumGC > 2)

	m := map[string]int{}
	for i := 0; i < 200000; i++ {
		m[fmt.Sprint("k", i*7919%65521)] += i
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	fmt.Println("map", len(m), keys[0], m[keys[0]], keys[len(keys)-1])

	var none *node
	var empty []int
	zero := 0
	try("nil", func() { fmt.Println(none.value) })
	try("index", func() { fmt.Println(empty[zero+3]) })
	try("divide", func() { fmt.Println(1 / zero) })
	try("nil map", func() { var n map[int]int; n[1] = 1 })
	try("assert", func() { var x any = "s"; fmt.Println(x.(int)) })
	for i := 0; i < 200; i++ {
		func() {
			defer func() { recover() }()
			total += none.value
		}()
	}

	timeout := time.After(300 * time.Millisecond)
	ticker := time.NewTicker(10 * time.Millisecond)
	ticks := 0
loop:
	for {
		select {
		case <-ticker.C:
			ticks++
		case <-timeout:
			break loop
		}
	}
	fmt.Println("ticks", ticks > 2)

	stop := make(chan bool)
	go func() { time.Sleep(50 * time.Millisecond); close(stop) }()
	spins := 0
	for done := false; !done; {
		spins++
		select {
		case <-stop:
			done = true
		default:
		}
	}
	go func() { for { spins++ } }()
	time.Sleep(50 * time.Millisecond)
	runtime.GC()
	fmt.Println("preempted a loop")

	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write(bytes.Repeat([]byte("some text to pack "), 20000))
	w.Close()
	fmt.Printf("%d %x\n", packed.Len(), sha256.Sum256(packed.Bytes()))
	f := new(big.Int).MulRange(1, 1000)
	fmt.Println("big", f.BitLen(), new(big.Int).Mod(f, big.NewInt(1000003*1009)), new(big.Int).Exp(big.NewInt(3), big.NewInt(100000), big.NewInt(1e15+37)))
	fmt.Println(math.Sin(1e6), math.Gamma(7.5), math.FMA(0.1, 10, -1), float32(0.1)*3, math.Inf(-1), math.NaN())
	text, _ := json.Marshal(map[string]any{"b": []float64{1.5, 1e21, -0.25}, "a": strings.Repeat("é", 3)})
	fmt.Println(string(text), regexp.MustCompile(`(\w+)@(\w+)\.com`).ReplaceAllString("a@b.com c@d.com", "$2:$1"))
	defer os.Exit(3)
	defer func() { fmt.Println("last", recover()) }()
	panic(fmt.Errorf("at the end"))
}
