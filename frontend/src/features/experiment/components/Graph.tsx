// The component graph as a picture.
import { useMemo, type ReactNode } from "react";
import classes from "./Experiment.module.css";
import { graphOf, type Node } from "../model/graph";

const [WIDTH, HEIGHT, GAP_X, GAP_Y] = [128, 40, 44, 14];
const left = (node: Node): number => node.column * (WIDTH + GAP_X);
const top = (node: Node): number => node.row * (HEIGHT + GAP_Y);

export function Graph({ config }: { readonly config: Readonly<Record<string, unknown>> }): ReactNode {
  const graph = useMemo(() => graphOf(config), [config]);
  if (graph.nodes.length === 0) return <p className="dim">The log has no config of this experiment.</p>;
  const byName = new Map(graph.nodes.map((node) => [node.name, node]));
  const width = Math.max(...graph.nodes.map(left)) + WIDTH + 2;
  const height = Math.max(...graph.nodes.map(top)) + HEIGHT + 2;
  const words = graph.edges.map(([from, to]) => `${to} needs ${from}`).join(", ");
  return (
    <div className={classes.graph} tabIndex={0} role="group" aria-label="Component graph">
      <svg width={width} height={height} viewBox={`-1 -1 ${width} ${height}`} role="img" aria-label={words}>
        {graph.edges.map(([from, to]) => {
          const [a, b] = [byName.get(from), byName.get(to)];
          if (a === undefined || b === undefined) return null;
          const [x0, y0, x1, y1] = [left(a) + WIDTH, top(a) + HEIGHT / 2, left(b), top(b) + HEIGHT / 2];
          return <path key={`${from} ${to}`} d={`M${x0} ${y0}C${x0 + GAP_X / 2} ${y0} ${x1 - GAP_X / 2} ${y1} ${x1} ${y1}`} />;
        })}
        {graph.nodes.map((node) => (
          <g key={node.name} transform={`translate(${left(node)} ${top(node)})`}>
            <rect width={WIDTH} height={HEIGHT} rx={5} />
            <text x={10} y={17}>
              {short(node.name)}
            </text>
            <text x={10} y={31} className={classes.use}>
              {short(node.use)}
            </text>
          </g>
        ))}
      </svg>
    </div>
  );
}

const short = (text: string): string => (text.length > 18 ? `${text.slice(0, 17)}…` : text);
