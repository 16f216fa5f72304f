// The kafkajs client of the end-to-end tests: reads commands as JSON lines, answers in JSON lines.
//
//   client.js worker BOOTSTRAP
//   client.js member BOOTSTRAP TOPIC GROUP   leaves when standard input closes

const readline = require('readline')
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require('kafkajs')
const snappy = require('kafkajs-snappy')
const lz4 = require('lz4-napi')
const { ZstdCodec } = require('zstd-codec')

CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async encoder => lz4.compressFrame(encoder.buffer),
  decompress: async buffer => lz4.decompressFrame(buffer),
})
const zstd = new Promise(resolve => ZstdCodec.run(z => resolve(new z.Streaming())))
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async encoder => Buffer.from((await zstd).compress(encoder.buffer)),
  decompress: async buffer => Buffer.from((await zstd).decompress(buffer)),
})
const codecs = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}

const [mode, bootstrap, topicName, groupName] = process.argv.slice(2)
const kafka = new Kafka({
  brokers: [bootstrap],
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 100, maxRetryTime: 500, retries: 60 },
})
const decode = text => (text === null ? null : Buffer.from(text, 'base64'))
const encode = data => (data === null || data === undefined ? null : Buffer.from(data).toString('base64'))
const say = answer => process.stdout.write(JSON.stringify(answer) + '\n')

const ops = {
  async create(c) {
    const admin = kafka.admin()
    await admin.connect()
    const configEntries = Object.entries(c.configs || {}).map(([name, value]) => ({ name, value }))
    const topics = [{ topic: c.topic, numPartitions: c.partitions, replicationFactor: -1, configEntries }]
    // Apache Kafka answers before its metadata knows the topic, and kafkajs fails instead of asking again.
    await admin.createTopics({ topics, waitForLeaders: false })
    await admin.disconnect()
    return {}
  },

  async produce(c) {
    const producer = kafka.producer({ idempotent: c.idempotent, maxInFlightRequests: c.idempotent ? 1 : 5 })
    await producer.connect()
    try {
      const messages = c.records.map(r => ({
        key: decode(r.k),
        value: decode(r.v),
        partition: c.partition,
        timestamp: String(r.t),
        headers: Object.fromEntries(r.h.map(([name, data]) => [name, decode(data)])),
      }))
      const answers = await producer.send({ topic: c.topic, acks: -1, compression: codecs[c.compression], messages })
      const base = Number(answers[0].baseOffset)
      return { offsets: messages.map((_, at) => base + at) }
    } finally {
      await producer.disconnect()
    }
  },

  async read(c) {
    const admin = kafka.admin()
    await admin.connect()
    const parts = new Map(c.parts.map(p => [p.p, { ...p, records: [] }]))
    for (const p of parts.values()) {
      if (p.t !== undefined && p.t !== null) {
        const found = await admin.fetchTopicOffsetsByTimestamp(c.topic, p.t)
        p.from = found.find(one => one.partition === p.p).offset
      } else p.from = String(p.o)
    }
    await admin.disconnect()
    const consumer = kafka.consumer({ groupId: `reader-${process.pid}-${Date.now()}`, maxBytesPerPartition: 4 << 20 })
    await consumer.connect()
    await consumer.subscribe({ topic: c.topic, fromBeginning: true })
    let open = parts.size
    await new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, 30000)
      consumer.on(consumer.events.CRASH, e => reject(e.payload.error))
      consumer
        .run({
          autoCommit: false,
          eachBatch: async ({ batch }) => {
            const p = parts.get(batch.partition)
            for (const m of batch.messages) {
              if (!p || p.records.length >= p.n || Number(m.offset) < Number(p.from)) continue
              const h = []
              for (const [name, data] of Object.entries(m.headers || {})) for (const one of [].concat(data)) h.push([name, encode(one)])
              p.records.push({ o: Number(m.offset), t: Number(m.timestamp), k: encode(m.key), v: encode(m.value), h })
              if (p.records.length === p.n) open--
            }
            if (open === 0) {
              clearTimeout(timer)
              resolve()
            }
          },
        })
        .catch(reject)
      for (const p of parts.values()) consumer.seek({ topic: c.topic, partition: p.p, offset: p.from })
    })
    await consumer.disconnect()
    return { parts: [...parts.values()] }
  },
}

// A coordinator that has just started may not be ready yet, which kafkajs takes for the end.
const passing = ['GROUP_LOAD_IN_PROGRESS', 'NOT_COORDINATOR_FOR_GROUP', 'KafkaJSNumberOfRetriesExceeded']

async function patiently(op) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await op()
    } catch (e) {
      const cause = e.cause && e.cause.type ? e.cause : e
      if (!(passing.includes(cause.type) || passing.includes(e.name)) || attempt === 20) throw e
      await new Promise(resolve => setTimeout(resolve, 250))
    }
  }
}

async function work() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const c = JSON.parse(line)
    try {
      say(await (c.op === 'read' ? patiently(() => ops.read(c)) : ops[c.op](c)))
    } catch (e) {
      const cause = e.cause && e.cause.type ? e.cause : e
      say({ error: String(e), code: cause.type || cause.name, retriable: Boolean(cause.retriable) })
    }
  }
  process.exit(0)
}

async function member() {
  const consumer = kafka.consumer({
    groupId: groupName,
    sessionTimeout: 6000,
    heartbeatInterval: 1000,
    rebalanceTimeout: 10000,
    maxWaitTimeInMs: 500,
  })
  const say_assigned = list => say({ e: 'assigned', p: list || [] })
  consumer.on(consumer.events.GROUP_JOIN, e => say_assigned(e.payload.memberAssignment[topicName]))
  consumer.on(consumer.events.REBALANCING, () => say_assigned([]))
  consumer.on(consumer.events.CRASH, e => say({ e: 'error', what: String(e.payload.error) }))
  await consumer.connect()
  await consumer.subscribe({ topic: topicName, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch, heartbeat, isRunning, isStale }) => {
      if (!isRunning() || isStale() || batch.messages.length === 0) return
      let next = 0
      for (const m of batch.messages) {
        say({ e: 'rec', p: batch.partition, o: Number(m.offset), v: String(m.value) })
        next = Number(m.offset) + 1
      }
      await consumer.commitOffsets([{ topic: topicName, partition: batch.partition, offset: String(next) }])
      say({ e: 'committed', p: batch.partition, o: next })
      await heartbeat()
    },
  })
  process.stdin.on('data', () => {})
  process.stdin.on('end', async () => {
    await consumer.disconnect()
    say({ e: 'left' })
    process.exit(0)
  })
}

const start = mode === 'worker' ? work : member
start().catch(e => {
  console.error(e)
  process.exit(1)
})
