import { expect, it } from "vitest";
import { fitted } from "./fit";

it.each([[400, [200, 100]], [240, [160, 80]], [180, [120, 60]], [170, [200, 100]]])("are as wide as %i px allow, and as they are where these do not", (room, widths) => {
  const columns = [{ width: 200, least: 120 }, { width: 100, least: 60 }];
  expect(fitted(columns, room).map(({ width }) => width)).toEqual(widths);
}); // prettier-ignore
