/**
 * What DuckDB's allocator (jemalloc) reads from the environment when its library is loaded: one arena, and memory that is not used
 * goes back to the kernel after 20 ms. Without it a burst of inserts leaves 60 MB that nobody uses; given back at once, every
 * question takes twice as long.
 */
export const allocatorOptions = 'narenas:1,dirty_decay_ms:20,muzzy_decay_ms:0';
