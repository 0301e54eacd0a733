// What a table is told about its columns, and which of TanStack Table's features it has.
import {
  columnOrderingFeature,
  columnPinningFeature,
  columnResizingFeature,
  columnSizingFeature,
  columnVisibilityFeature,
  tableFeatures,
} from "@tanstack/react-table";
import type { ReactNode } from "react";

export const features = tableFeatures({
  columnVisibilityFeature,
  columnOrderingFeature,
  columnPinningFeature,
  columnSizingFeature,
  columnResizingFeature,
});
export type GridFeatures = typeof features;

export interface GridColumn<T> {
  readonly id: string;
  readonly title: string;
  /** Shown small beside the title: the unit, or which value of a metric it is. */
  readonly note?: string;
  readonly hint?: string;
  readonly width: number;
  readonly isNumber?: boolean;
  readonly isPinned?: boolean;
  readonly isSortable?: boolean;
  /** Takes the room that is left where the table is wider than its columns. */
  readonly isWide?: boolean;
  readonly render: (row: T) => ReactNode;
  readonly background?: (row: T) => string | undefined;
}

export interface GridSort {
  readonly column: string;
  readonly isDescending: boolean;
}
