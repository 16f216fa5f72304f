// The franz-go client of the end-to-end tests: reads commands as JSON lines, answers in JSON lines.
//
//	client worker BOOTSTRAP                       commands on standard input
//	client member BOOTSTRAP TOPIC GROUP           one member of a group; leaves when standard input closes
//	client load BOOTSTRAP TOPIC PARTITIONS NAME RATE
//	                                              an idempotent producer that reports each acknowledgement
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type record struct {
	Offset  int64        `json:"o"`
	Time    int64        `json:"t"`
	Key     *string      `json:"k"`
	Value   *string      `json:"v"`
	Headers [][2]*string `json:"h"`
}

type part struct {
	Partition int32    `json:"p"`
	Offset    *int64   `json:"o,omitempty"`
	Time      *int64   `json:"t,omitempty"`
	Count     int      `json:"n,omitempty"`
	Records   []record `json:"records"`
	Error     string   `json:"error,omitempty"`
}

type command struct {
	Op          string             `json:"op"`
	Topic       string             `json:"topic"`
	Group       string             `json:"group"`
	Partitions  int32              `json:"partitions"`
	Partition   int32              `json:"partition"`
	Configs     map[string]*string `json:"configs"`
	Compression string             `json:"compression"`
	Idempotent  bool               `json:"idempotent"`
	Records     []record           `json:"records"`
	Parts       []part             `json:"parts"`
	File        string             `json:"file"`
	Keep        bool               `json:"keep"`
	Committed   bool               `json:"committed"`
	TimeoutMs   int                `json:"timeout_ms"`
}

type answer map[string]any

func encode(b []byte) *string {
	if b == nil {
		return nil
	}
	s := base64.StdEncoding.EncodeToString(b)
	return &s
}

func decode(s *string) []byte {
	if s == nil {
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(*s)
	if err != nil {
		panic(err)
	}
	if b == nil {
		b = []byte{}
	}
	return b
}

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}

type worker struct {
	bootstrap string
	client    *kgo.Client
	admin     *kadm.Client
}

func (w *worker) create(ctx context.Context, c command) (answer, error) {
	r, err := w.admin.CreateTopic(ctx, c.Partitions, -1, c.Configs, c.Topic)
	if err == nil {
		err = r.Err
	}
	return answer{}, err
}

func (w *worker) delete(ctx context.Context, c command) (answer, error) {
	r, err := w.admin.DeleteTopic(ctx, c.Topic)
	if err == nil {
		err = r.Err
	}
	return answer{}, err
}

func (w *worker) produce(ctx context.Context, c command) (answer, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(w.bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codec(c.Compression)), kgo.ProducerBatchMaxBytes(1 << 21),
		kgo.ProducerLinger(5 * time.Millisecond),
	}
	if !c.Idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	records := make([]*kgo.Record, len(c.Records))
	for i, r := range c.Records {
		records[i] = &kgo.Record{Topic: c.Topic, Partition: c.Partition, Key: decode(r.Key), Value: decode(r.Value)}
		if r.Time != 0 {
			records[i].Timestamp = time.UnixMilli(r.Time)
		}
		for _, h := range r.Headers {
			records[i].Headers = append(records[i].Headers, kgo.RecordHeader{Key: *h[0], Value: decode(h[1])})
		}
	}
	results := client.ProduceSync(ctx, records...)
	if err := results.FirstErr(); err != nil {
		return nil, err
	}
	offsets := make([]int64, len(records))
	for i, r := range records {
		offsets[i] = r.Offset
	}
	return answer{"offsets": offsets}, nil
}

func timeout(c command) time.Duration {
	if c.TimeoutMs > 0 {
		return time.Duration(c.TimeoutMs) * time.Millisecond
	}
	return 30 * time.Second
}

// read gives the wanted count of records of each partition. What a partition answers with an error ends that
// partition's reading; errors a client would try again after count only if the command says so. Checksums are not verified, so that a server that serves damage is seen to do so.
func (w *worker) read(ctx context.Context, c command) (answer, error) {
	from := map[int32]kgo.Offset{}
	at := map[int32]*part{}
	open := 0
	for i := range c.Parts {
		p := &c.Parts[i]
		p.Records = []record{}
		at[p.Partition] = p
		if p.Time != nil {
			from[p.Partition] = kgo.NewOffset().AfterMilli(*p.Time)
		} else {
			from[p.Partition] = kgo.NewOffset().At(*p.Offset)
		}
		if p.Count > 0 {
			open++
		}
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(w.bootstrap), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.Topic: from}),
		kgo.DisableFetchCRCValidation(), kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	}
	if c.Keep {
		opts = append(opts, kgo.KeepRetryableFetchErrors())
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	for open > 0 && ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		fetches.EachError(func(_ string, p int32, err error) {
			if q := at[p]; q != nil && q.Error == "" && len(q.Records) < q.Count && ctx.Err() == nil {
				q.Error = err.Error()
				open--
			}
		})
		fetches.EachRecord(func(r *kgo.Record) {
			q := at[r.Partition]
			if len(q.Records) >= q.Count || q.Error != "" {
				return
			}
			out := record{Offset: r.Offset, Time: r.Timestamp.UnixMilli(), Key: encode(r.Key), Value: encode(r.Value)}
			for _, h := range r.Headers {
				name := h.Key
				out.Headers = append(out.Headers, [2]*string{&name, encode(h.Value)})
			}
			if q.Records = append(q.Records, out); len(q.Records) == q.Count {
				open--
			}
		})
	}
	return answer{"parts": c.Parts}, nil
}

// ends gives each partition's first and next offset, or its error.
func (w *worker) ends(ctx context.Context, c command) (answer, error) {
	starts, err := w.admin.ListStartOffsets(ctx, c.Topic)
	if err != nil && !anyOffsets(starts) {
		return nil, err
	}
	ends, err := w.admin.ListEndOffsets(ctx, c.Topic)
	if err != nil && !anyOffsets(ends) {
		return nil, err
	}
	out := []map[string]any{}
	ends.Each(func(o kadm.ListedOffset) {
		m := map[string]any{"p": o.Partition, "end": o.Offset}
		if s, ok := starts.Lookup(o.Topic, o.Partition); ok {
			m["start"] = s.Offset
		}
		if o.Err != nil {
			m["error"] = o.Err.Error()
		}
		out = append(out, m)
	})
	return answer{"parts": out}, nil
}

func anyOffsets(l kadm.ListedOffsets) bool {
	any := false
	l.Each(func(kadm.ListedOffset) { any = true })
	return any
}

func (w *worker) committed(ctx context.Context, c command) (answer, error) {
	r, err := w.admin.FetchOffsets(ctx, c.Group)
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	r.Each(func(o kadm.OffsetResponse) {
		if o.Topic == c.Topic && o.Err == nil {
			out[strconv.Itoa(int(o.Partition))] = o.At
		}
	})
	return answer{"offsets": out}, nil
}

// dump reads the whole topic from its start to where it ends now, as lines "partition offset value" in a file, and
// gives their number. Partitions are read in offset order. With "committed" they end at the last stable offset, and
// what was aborted is left out.
func (w *worker) dump(ctx context.Context, c command) (answer, error) {
	list, isolation := w.admin.ListEndOffsets, kgo.ReadUncommitted()
	if c.Committed {
		list, isolation = w.admin.ListCommittedOffsets, kgo.ReadCommitted()
	}
	ends, err := list(ctx, c.Topic)
	if err != nil {
		return nil, err
	}
	left, from, last := 0, map[int32]kgo.Offset{}, map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Err != nil {
			err = o.Err
		}
		from[o.Partition] = kgo.NewOffset().At(0)
		if last[o.Partition] = o.Offset; o.Offset > 0 {
			left++
		}
	})
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(w.bootstrap), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.Topic: from}),
		kgo.FetchMaxPartitionBytes(4<<20), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		// A partition of transactions ends with the marker of one.
		kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords(),
	)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	file, err := os.Create(c.File)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	out, n := bufio.NewWriter(file), 0
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset < last[r.Partition] && !r.Attrs.IsControl() {
				fmt.Fprintf(out, "%d %d %s\n", r.Partition, r.Offset, r.Value)
				n++
			}
			if r.Offset == last[r.Partition]-1 {
				left--
			}
		})
	}
	return answer{"records": n}, out.Flush()
}

func work(bootstrap string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap))
	if err != nil {
		return err
	}
	w := &worker{bootstrap, client, kadm.NewClient(client)}
	in, out := json.NewDecoder(bufio.NewReaderSize(os.Stdin, 1<<20)), json.NewEncoder(os.Stdout)
	ops := map[string]func(context.Context, command) (answer, error){
		"create": w.create, "delete": w.delete, "produce": w.produce, "read": w.read, "ends": w.ends,
		"committed": w.committed, "dump": w.dump,
	}
	for {
		var c command
		if err := in.Decode(&c); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), timeout(c))
		op, ok := ops[c.Op]
		if !ok {
			op = func(context.Context, command) (answer, error) { return nil, errors.New("no such op " + c.Op) }
		}
		a, err := op(ctx, c)
		cancel()
		if err != nil {
			a = answer{"error": err.Error()}
			var e *kerr.Error
			if errors.As(err, &e) {
				a["code"], a["retriable"] = e.Message, e.Retriable
			}
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}

func member(bootstrap, topic, group, instance string) error {
	var mu sync.Mutex
	out := bufio.NewWriter(os.Stdout)
	say := func(v answer) {
		mu.Lock()
		defer mu.Unlock()
		b, _ := json.Marshal(v)
		out.Write(append(b, '\n'))
		out.Flush()
	}
	held := map[int32]bool{}
	assigned := func(got map[string][]int32, has bool) {
		for _, p := range got[topic] {
			if held[p] = true; !has {
				delete(held, p)
			}
		}
		all := []int32{}
		for p := range held {
			all = append(all, p)
		}
		say(answer{"e": "assigned", "p": all})
	}
	session, static := 6*time.Second, []kgo.Opt{}
	if instance != "" {
		session, static = 30*time.Second, append(static, kgo.InstanceID(instance))
	}
	client, err := kgo.NewClient(append(static,
		kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(session), kgo.HeartbeatInterval(time.Second), kgo.RebalanceTimeout(10*time.Second),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { assigned(m, true) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { assigned(m, false) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { assigned(m, false) }),
	)...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		last := map[int32]int64{}
		fetches.EachRecord(func(r *kgo.Record) {
			say(answer{"e": "rec", "p": r.Partition, "o": r.Offset, "v": string(r.Value)})
			last[r.Partition] = r.Offset + 1
		})
		if len(last) > 0 {
			short, done := context.WithTimeout(context.Background(), 10*time.Second)
			if err := client.CommitUncommittedOffsets(short); err == nil {
				for p, o := range last {
					say(answer{"e": "committed", "p": p, "o": o})
				}
			} else {
				say(answer{"e": "error", "what": err.Error()})
			}
			done()
		}
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
	say(answer{"e": "left"})
	return nil
}

func load(bootstrap, topic string, partitions int, name string, rate int) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic),
		kgo.MaxBufferedRecords(20000), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RetryTimeout(60*time.Second), kgo.RequestTimeoutOverhead(5*time.Second), kgo.ProduceRequestTimeout(5*time.Second),
	)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	var mu sync.Mutex
	tick := time.NewTicker(10 * time.Millisecond)
	begun := time.Now()
	for sequence := 0; ctx.Err() == nil; <-tick.C {
		for ; float64(sequence) < time.Since(begun).Seconds()*float64(rate); sequence++ {
			r := &kgo.Record{Partition: int32(sequence % partitions), Value: fmt.Appendf(nil, "%s-%d", name, sequence)}
			client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					fmt.Fprintf(out, "error %d %s %s\n", r.Partition, r.Value, err)
				} else {
					fmt.Fprintf(out, "ack %d %d %s\n", r.Partition, r.Offset, r.Value)
				}
			})
		}
		mu.Lock()
		out.Flush()
		mu.Unlock()
	}
	ctx, cancel = context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	err = client.Flush(ctx)
	mu.Lock()
	defer mu.Unlock()
	fmt.Fprintln(out, "done")
	out.Flush()
	return err
}

func main() {
	var err error
	args := os.Args[1:]
	switch {
	case len(args) == 2 && args[0] == "worker":
		err = work(args[1])
	case len(args) == 4 && args[0] == "member":
		err = member(args[1], args[2], args[3], "")
	case len(args) == 5 && args[0] == "member":
		err = member(args[1], args[2], args[3], args[4])
	case len(args) == 6 && args[0] == "load":
		partitions, _ := strconv.Atoi(args[3])
		rate, _ := strconv.Atoi(args[5])
		err = load(args[1], args[2], partitions, args[4], rate)
	default:
		err = errors.New("client worker|member|load …")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
