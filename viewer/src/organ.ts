/** The organ of a slide, as the server reports it, in words that say how little it rests on. */

/** null where the slide's model knows no organs, or a picture says what it is like. */
export interface OrganFacts {
  readonly organ: string | null;
  /** Training cases behind the organ. */
  readonly organ_cases: number | null;
  /** Whole sections measured of it; 0: outlines and colours are borrowed from other organs. */
  readonly organ_sections: number | null;
  /** Whether it was drawn from the seed, not chosen. */
  readonly organ_drawn: boolean | null;
  readonly regions: readonly RegionOrgan[];
}

/** A region of a slide. organ: null where a picture says what it is like. */
export interface RegionOrgan {
  readonly organ: string | null;
  readonly organ_cases: number | null;
  readonly organ_sections: number | null;
}

/** An organ that a model can be asked for. */
export interface OrganOffer {
  readonly name: string;
  readonly cases: number;
  readonly sections: number;
}

/** "likeness of 3 cases": all that an organ learned from three cases can be; "of no whole section" where none was
 * measured, since its outlines and colours are those of other organs. */
export function likeness(cases: number, sections: number): string {
  return `likeness of ${cases} case${cases === 1 ? "" : "s"}${sections === 0 ? ", of no whole section" : ""}`;
}

/** What words on an organ are made of. */
export type OrganBehind = Pick<OrganFacts, "organ" | "organ_cases" | "organ_sections" | "regions">;

/** ", colon: a likeness of 3 cases, regions of fat: a likeness of 2 cases", or nothing. */
export function organWords(facts: OrganBehind): string {
  const own = wordsOf(facts);
  const regions = [...new Set(facts.regions.map(wordsOf))].filter((words) => words !== "");
  return `${own && `, ${own}`}${regions.length > 0 ? `, regions of ${regions.join("; ")}` : ""}`;
}

function wordsOf({ organ, organ_cases, organ_sections }: RegionOrgan): string {
  return organ === null ? "" : `${organ}: a ${likeness(organ_cases ?? 0, organ_sections ?? 0)}`;
}

/** ", a likeness of 3 cases" of an organ of a slide, its own or that of a region; nothing for other organs. */
export function behindOrgan(facts: OrganBehind, organ: string | null): string {
  const found = [facts, ...facts.regions].find((one) => one.organ !== null && one.organ === organ);
  return found ? `, a ${likeness(found.organ_cases ?? 0, found.organ_sections ?? 0)}` : "";
}

/** "lymph node" -> "Lymph node". */
export function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
