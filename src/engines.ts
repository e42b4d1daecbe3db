/** Engines that can be asked for. In a file of its own: the command line's options name them too. */
export const ENGINES = ['exact', 'perf', 'snapshot'] as const
