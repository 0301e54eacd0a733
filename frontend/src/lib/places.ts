// Where something was scrolled to: whoever comes back to it finds it there.

export interface Place {
  readonly top: number;
  readonly left: number;
}

const places = new Map<string, Place>();

export const placeOf = (name: string): Place => places.get(name) ?? { top: 0, left: 0 };

export function keepPlace(name: string, { scrollTop: top, scrollLeft: left }: Element): void {
  places.set(name, { top, left });
}
