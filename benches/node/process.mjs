// What this Node process uses, read from /proc: a process that measures itself.
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'

const ns = (path) => Number(readFileSync(path, 'utf8').split(' ')[0])

/** CPU time in ns: of the main thread, of the sampling threads, of all the others (garbage collection, pool). */
export function cpu() {
  const found = { main: 0, sampler: 0, others: 0 }
  for (const thread of readdirSync('/proc/self/task')) {
    try {
      const time = ns(`/proc/self/task/${thread}/schedstat`)
      const name = readFileSync(`/proc/self/task/${thread}/comm`, 'utf8')
      if (Number(thread) === process.pid) found.main += time
      else found[name.startsWith('pyprof') ? 'sampler' : 'others'] += time
    } catch {
      // It has just ended.
    }
  }
  return found
}

/**
 * Resident memory, JavaScript's heap and its buffers outside of it in KiB, open descriptors, threads. Garbage is
 * collected first, with --expose-gc.
 */
export function resources() {
  globalThis.gc?.()
  const status = readFileSync('/proc/self/status', 'utf8')
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return {
    rss: Number(/VmRSS:\s+(\d+)/.exec(status)[1]),
    heap: Math.round(heapUsed / 1024),
    buffers: Math.round(arrayBuffers / 1024),
    descriptors: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
  }
}

/** What the descriptors stand for: processes that are sampled, such ones that have gone, anything else. */
export function held() {
  const found = { live: 0, gone: 0, others: 0 }
  for (const fd of readdirSync('/proc/self/fd')) {
    let to = ''
    try {
      to = readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      continue
    }
    const pid = /^\/proc\/(\d+)/.exec(to)?.[1]
    if (pid === undefined && !to.includes('pidfd')) found.others++
    else if (pid === undefined || existsSync(`/proc/${pid}`)) found.live++
    else found.gone++
  }
  return found
}

/** Binds this process to one CPU and says which one a target can have; null where there is only one. */
export function cores() {
  const list = /Cpus_allowed_list:\s+(\S+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]
  const cpus = list.split(',').flatMap((part) => {
    const [first, last = first] = part.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, k) => first + k)
  })
  return cpus.length < 2 ? null : { ours: cpus[0], its: cpus[1] }
}

/** Slope of the line of least squares: what `values` gain from one to the next. */
export function slope(values) {
  const middle = (values.length - 1) / 2
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  let above = 0
  let below = 0
  for (const [k, value] of values.entries()) {
    above += (k - middle) * (value - mean)
    below += (k - middle) ** 2
  }
  return below === 0 ? 0 : above / below
}
