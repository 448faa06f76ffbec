/**
 * What the engine has done so far. A change must cost what it touches: tests compare these counts at different sizes, which
 * a clock cannot do.
 */
export class Work {
  /** Rules read into the form in which sets bind them. */
  rulesPrepared = 0;
  /** Specs looked at to find out what concerns a subject. */
  specsConsidered = 0;
  /** Keys of sets computed from the rules of a subject. */
  setsKeyed = 0;
  /** Sets filled with all identities that their rules select. */
  setsBuilt = 0;
  /** Identities compared with a selector or prefix that is new. */
  identitiesConsidered = 0;
  /** Identities put into a class, or out of one. */
  classesChanged = 0;
  /** Class entries copied because somebody holds the set as it was. */
  classesCopied = 0;
}
