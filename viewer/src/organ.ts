/** The organ of a slide, as the server reports it, in words that say how little it rests on. */

/** null where the slide's model knows no organs, or a picture says what it is like. */
export interface OrganFacts {
  readonly organ: string | null;
  /** Training cases behind the organ. */
  readonly organ_cases: number | null;
  /** Whether it was drawn from the seed, not chosen. */
  readonly organ_drawn: boolean | null;
  readonly regions: readonly RegionOrgan[];
}

/** A region of a slide. organ: null where a picture says what it is like. */
export interface RegionOrgan {
  readonly organ: string | null;
  readonly organ_cases: number | null;
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

/** ", colon: a likeness of 3 cases, regions of fat: a likeness of 2 cases", or nothing. */
export function organWords(facts: Pick<OrganFacts, "organ" | "organ_cases" | "regions">): string {
  const own = wordsOf(facts);
  const regions = [...new Set(facts.regions.map(wordsOf))].filter((words) => words !== "");
  return `${own && `, ${own}`}${regions.length > 0 ? `, regions of ${regions.join("; ")}` : ""}`;
}

function wordsOf({ organ, organ_cases }: RegionOrgan): string {
  return organ === null ? "" : `${organ}: a ${likeness(organ_cases ?? 0)}`;
}

/** The cases behind an organ of a slide, its own or that of a region; null where it has none of that name. */
export function casesOf(facts: Pick<OrganFacts, "organ" | "organ_cases" | "regions">, organ: string): number | null {
  return [facts, ...facts.regions].find((one) => one.organ === organ)?.organ_cases ?? null;
}

/** "lymph node" -> "Lymph node". */
export function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
