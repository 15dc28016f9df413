/** The organ of a slide, as the server reports it, in words that say how little it rests on. */

/** null where the slide's model knows no organs, or a picture says what it is like. */
export interface OrganFacts {
  readonly organ: string | null;
  /** Training cases behind the organ. */
  readonly organ_cases: number | null;
  /** Whether it was drawn from the seed, not chosen. */
  readonly organ_drawn: boolean | null;
}

/** An organ that a model can be asked for. */
export interface OrganOffer {
  readonly name: string;
  readonly cases: number;
}

/** "likeness of 3 cases": all that an organ learned from three cases can be. */
export function likeness(cases: number): string {
  return `likeness of ${cases} case${cases === 1 ? "" : "s"}`;
}

/** ", colon: a likeness of 3 cases", or nothing. */
export function organWords({ organ, organ_cases }: Pick<OrganFacts, "organ" | "organ_cases">): string {
  return organ === null ? "" : `, ${organ}: a ${likeness(organ_cases ?? 0)}`;
}

/** "lymph node" -> "Lymph node". */
export function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
