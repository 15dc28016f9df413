/** Ten questions about what organ is shown, over the slides that know theirs. Pure logic. */

import type { Slide } from "../api.js";
import { shuffled } from "./quiz.js";

export const QUESTIONS = 10;
const MOST_CHOICES = 4;
/** Where structure is seen: not the whole glass, whose shape alone may give the answer away. */
const ASKED_AT: readonly number[] = [1.25, 2.5, 5, 10];

/** A question before it is known where on the slide it is asked. */
export interface Asked {
  readonly slide: Slide;
  readonly magnification: number;
}

/** The slides that can be asked about; fewer than two organs are no question. */
export function askable(slides: readonly Slide[]): Slide[] {
  const known = slides.filter(({ organ }) => organ !== null);
  return new Set(known.map(({ organ }) => organ)).size > 1 ? known : [];
}

/** Every slide in turn, in an order of its own each time round, never one twice in a row. */
export function askedOf(slides: readonly Slide[], random: () => number): Asked[] {
  const asked: Asked[] = [];
  while (slides.length > 0 && asked.length < QUESTIONS) {
    const round = shuffled(slides, random);
    if (round.length > 1 && round[0] === asked.at(-1)?.slide) round.push(round.shift() as Slide);
    for (const slide of round) {
      const magnification = ASKED_AT[Math.floor(random() * ASKED_AT.length)] as number;
      asked.push({ slide, magnification });
    }
  }
  return asked.slice(0, QUESTIONS);
}

/** The answer among others. present: organs of the slides asked about, the likeliest mistakes; known: of the model. */
export function choicesOf(
  answer: string,
  present: readonly string[],
  known: readonly string[],
  random: () => number,
): string[] {
  const others = [...shuffled([...new Set(present)], random), ...shuffled([...new Set(known)], random)];
  const wrong = [...new Set(others)].filter((organ) => organ !== answer).slice(0, MOST_CHOICES - 1);
  return shuffled([answer, ...wrong], random);
}
