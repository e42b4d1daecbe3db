// Streams from a worker thread until it is terminated.
import { parentPort, workerData } from 'node:worker_threads'
import { attach } from '../../dist/index.js'

const session = await attach(workerData, { rate: 1000 })
let samples = 0
for await (const event of session)
  if (event.type === 'sample' && ++samples === 20) parentPort.postMessage('streaming')
