// kafkajs's serialiser against a node: with_kafkajs.js PHASE KAFKA REGISTRY, one line for each case.
//
// In phase `before` it writes in each format and reads it back; in phase `after` it reads what Confluent's serialisers wrote.

const { Kafka, logLevel } = require('kafkajs')
const { SchemaRegistry, SchemaType } = require('@kafkajs/confluent-schema-registry')

const [phase, kafkaPort, registryPort] = process.argv.slice(2)
const kafka = new Kafka({ brokers: [`127.0.0.1:${kafkaPort}`], logLevel: logLevel.NOTHING })
const registry = new SchemaRegistry({ host: `http://127.0.0.1:${registryPort}` })

const equal = (found, wanted) => {
  const [left, right] = [found, wanted].map(value => JSON.stringify(value))
  if (left !== right) throw new Error(`${left} is not ${right}`)
}

const check = async (name, run) => {
  try {
    await run()
    console.log(`ok ${phase} ${name}`)
  } catch (error) {
    console.error(error)
    console.log(`failed ${phase} ${name}: ${String(error).split('\n').join(' ')}`)
  }
}

const read = async (topic, count) => {
  const consumer = kafka.consumer({ groupId: `${topic}-js-${phase}` })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const rows = []
  await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`only ${rows.length} records`)), 30000)
    consumer.run({
      eachMessage: async ({ message }) => {
        try {
          rows.push(await registry.decode(message.value))
        } catch (error) {
          reject(error)
        }
        if (rows.length >= count) {
          clearTimeout(late)
          resolve()
        }
      },
    })
  })
  await consumer.disconnect()
  return rows
}

const roundTrip = async (topic, confluentSchema, rows) => {
  const { id } = await registry.register(confluentSchema, { subject: `${topic}-value` })
  equal(await registry.getLatestSchemaId(`${topic}-value`), id)
  const producer = kafka.producer()
  await producer.connect()
  for (const row of rows) {
    await producer.send({ topic, messages: [{ value: await registry.encode(id, row) }] })
  }
  await producer.disconnect()
  equal(await read(topic, rows.length), rows)
}

const cases = {
  before: {
    kafkajs_avro: () =>
      roundTrip(
        'js_avro',
        {
          type: SchemaType.AVRO,
          schema: JSON.stringify({
            type: 'record',
            name: 'Visit',
            namespace: 'js',
            fields: [{ name: 'page', type: 'string' }, { name: 'count', type: 'int' }],
          }),
        },
        [{ page: '/', count: 1 }, { page: '/a', count: 2 }],
      ),
    kafkajs_protobuf: () =>
      roundTrip(
        'js_proto',
        {
          type: SchemaType.PROTOBUF,
          schema: 'syntax = "proto3";\npackage js;\n// A visit.\nmessage Visit { string page = 1; int32 count = 2; }',
        },
        [{ page: '/', count: 1 }],
      ),
    kafkajs_json: () =>
      roundTrip(
        'js_json',
        {
          type: SchemaType.JSON,
          schema: JSON.stringify({ type: 'object', properties: { page: { type: 'string' } }, required: ['page'] }),
        },
        [{ page: '/' }],
      ),
  },
  after: {
    kafkajs_reads_of_others: async () => {
      const rows = await read('sr_json', 20)
      equal(rows[19], { id: 19, page: '/19' })
    },
  },
}

const run = async () => {
  for (const [name, one] of Object.entries(cases[phase])) await check(name, one)
  process.exit(0)
}
run()
