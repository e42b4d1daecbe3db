/** One interval as JSON, for `top --json`: all lists, times in ns. */
import { functionRows, lineRows, processRows, threadRows } from './lists.js'
import type { ThreadActivity } from './model/activity.js'
import { MEASURES } from './model/measure.js'
import type { Model } from './model/model.js'
import type { Pace } from './model/pace.js'
import type { PlaceRow } from './model/rows.js'
import type { Plan } from './plan.js'

export function report(
  model: Model,
  pace: Pace,
  { pid, plan: { rate, state, limit } }: { pid: number; plan: Plan },
) {
  const { nowNs, overallNs } = model.tally.functions
  const place = ({ place, selfNow, totalNow, self, total }: PlaceRow) => ({
    kind: place.kind,
    name: place.name,
    file: place.file,
    line: place.line || null,
    selfNs: selfNow,
    totalNs: totalNow,
    overall: { selfNs: self, totalNs: total },
  })
  const times = ({ now, overall }: Pick<ThreadActivity, 'now' | 'overall'>) => ({
    ...byMeasure(now),
    overall: byMeasure(overall),
  })
  return {
    schemaVersion: 1,
    pid,
    /** The length of this interval, and of all so far. */
    intervalNs: nowNs,
    elapsedNs: overallNs,
    time: state.measure,
    sampler: {
      rateAsked: rate,
      rate: pace.rate,
      cut: pace.cut,
      failed: pace.failed,
      ownCpu: pace.ownCpu,
      engine: pace.engine,
      offcpu: pace.offcpu,
      lost: model.lost,
    },
    functions: functionRows(model, state).slice(0, limit).map(place),
    lines: lineRows(model, state).slice(0, limit).map(place),
    threads: threadRows(model, state)
      .slice(0, limit)
      .map((row) => ({
        pid: row.info.pid,
        tid: row.info.tid || null,
        name: row.info.name,
        onCpu: row.onCpu,
        holdsGil: row.holdsGil,
        ended: row.ended,
        ...times(row),
        stack: model.framesOf(row.stack).map(({ kind, name, file, line }) => ({
          kind,
          name,
          file,
          line: line || null,
        })),
      })),
    processes: processRows(model, state)
      .slice(0, limit)
      .map((row) => ({
        pid: row.info.pid,
        parent: row.info.ppid || null,
        pythonVersion: row.info.pythonVersion,
        command: row.info.command,
        threads: row.threads,
        ended: row.ended,
        ...times(row),
      })),
  }
}

function byMeasure(sums: Float64Array): Record<string, number> {
  return Object.fromEntries(MEASURES.map((name, i) => [`${name}Ns`, sums[i]!]))
}
