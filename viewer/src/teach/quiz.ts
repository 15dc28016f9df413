/** "Guess the labels": the labelled annotations of a slide in a shuffled order, their labels hidden. Pure logic. */

import { type Feature, LABELS, labelOf } from "../annotate/feature.js";

const MOST_CHOICES = 4;

export interface Question {
  readonly feature: Feature;
  readonly answer: string;
  readonly choices: readonly string[];
}

/** Questions about the annotations that have a label; `random` gives numbers in [0, 1). */
export function questionsOf(features: readonly Feature[], random: () => number): Question[] {
  const labelled = features.filter((feature) => labelOf(feature) !== "");
  const present = [...new Set(labelled.map(labelOf))];
  const known = [...present, ...LABELS.map(({ name }) => name).filter((name) => !present.includes(name))];
  return shuffled(labelled, random).map((feature) => {
    const answer = labelOf(feature);
    // Labels of the same slide are the likeliest mistakes: they come before those of no slide.
    const others = shuffled(
      present.filter((name) => name !== answer),
      random,
    );
    const more = known.filter((name) => name !== answer && !present.includes(name));
    const wrong = [...others, ...more].slice(0, MOST_CHOICES - 1);
    return { feature, answer, choices: shuffled([answer, ...wrong], random) };
  });
}

/** Fisher and Yates. */
export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const copy = [...items];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [copy[i], copy[j]] = [copy[j] as T, copy[i] as T];
  }
  return copy;
}
