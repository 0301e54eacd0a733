// The component graph as a picture, and as a list for those who read it, or have it read to them.
import { useMemo, useRef, useState, type ReactNode } from "react";
import { countOf } from "@/lib/format";
import { componentsOf, type Component, type Need } from "../model/graph";
import { layout, WIDTH, type PlacedEdge, type PlacedNode } from "../model/layers";
import classes from "./Experiment.module.css";

const MARGIN = 2;

export function Graph({ config }: { readonly config: Readonly<Record<string, unknown>> }): ReactNode {
  const components = useMemo(() => componentsOf(config), [config]);
  const { nodes, edges, width, height } = useMemo(() => layout(components), [components]);
  const [hovered, setHovered] = useState<string | null>(null);
  const [chosen, setChosen] = useState<string | null>(null);
  const picture = useRef<SVGSVGElement>(null);
  if (components.length === 0) return <p className="dim">{Object.keys(config).length === 0 ? "The log has no config of this experiment." : "Its config names no components."}</p>;
  const marked = hovered ?? chosen;
  const touches = ({ from, to }: PlacedEdge): boolean => from === marked || to === marked;
  const near = new Set([marked, ...edges.filter(touches).flatMap(({ from, to }) => [from, to])]);
  const show = (name: string): void => {
    setChosen(name);
    picture.current?.querySelector(`[data-component="${CSS.escape(name)}"]`)?.scrollIntoView({ block: "nearest", inline: "center" });
  };
  return (
    <>
      <p className="dim">What is needed stands left of what needs it. Point at a component to see its own edges.</p>
      <div className={classes.graph} tabIndex={0} role="group" aria-label="Component graph" data-marked={marked !== null}>
        <svg
          ref={picture}
          width={width + 2 * MARGIN}
          height={height + 2 * MARGIN}
          viewBox={`${-MARGIN} ${-MARGIN} ${width + 2 * MARGIN} ${height + 2 * MARGIN}`}
          role="img"
          aria-label={`${countOf(components.length, "component")} and ${countOf(edges.length, "edge")} between them, which the list below names`}
        >
          <Arrow id="arrow" isMarked={false} />
          <Arrow id="arrow-marked" isMarked />
          {/* Those that are marked come last, above the others. */}
          {[...edges].sort((a, b) => Number(touches(a)) - Number(touches(b))).map((edge) => (
            <Edge key={`${edge.from} ${edge.to} ${edge.isBack}`} edge={edge} isMarked={touches(edge)} />
          ))}
          {nodes.map((node) => (
            <Box key={node.component.name} node={node} isNear={near.has(node.component.name)} onHover={setHovered} onChoose={(name) => setChosen(chosen === name ? null : name)} />
          ))}
        </svg>
      </div>
      <details className={classes.more}>
        <summary>as a list</summary>
        <ul className={classes.needs}>
          {components.map((component) => (
            <Line key={component.name} component={component} onShow={show} />
          ))}
        </ul>
      </details>
    </>
  );
} // prettier-ignore

function Arrow({ id, isMarked }: { readonly id: string; readonly isMarked: boolean }): ReactNode {
  return (
    <marker id={id} className={classes.arrow} data-marked={isMarked} viewBox="0 0 8 8" refX={8} refY={4} markerWidth={8} markerHeight={8} markerUnits="userSpaceOnUse" orient="auto-start-reverse">
      <path d="M0 0.8 8 4 0 7.2z" />
    </marker>
  );
}

function Edge({ edge, isMarked }: { readonly edge: PlacedEdge; readonly isMarked: boolean }): ReactNode {
  const arrow = `url(#arrow${isMarked ? "-marked" : ""})`;
  return <path className={classes.edge} d={edge.path} data-from={edge.from} data-to={edge.to} data-marked={isMarked} {...{ [edge.isBack ? "markerStart" : "markerEnd"]: arrow }} />;
}

interface BoxProps {
  readonly node: PlacedNode;
  readonly isNear: boolean;
  readonly onHover: (name: string | null) => void;
  readonly onChoose: (name: string) => void;
}

function Box({ node: { component, x, y, height }, isNear, onHover, onChoose }: BoxProps): ReactNode {
  const { name, use } = component;
  return (
    <g className={classes.node} data-component={name} data-near={isNear} transform={`translate(${x} ${y})`} onPointerEnter={() => onHover(name)} onPointerLeave={() => onHover(null)} onClick={() => onChoose(name)}>
      <title>{use === "" ? name : `${name}: ${use}`}</title>
      <rect width={WIDTH} height={height} rx={5} />
      <text x={10} y={height / 2 - 3}>
        {short(name)}
      </text>
      <text x={10} y={height / 2 + 11} className={classes.use}>
        {short(use)}
      </text>
    </g>
  );
}

const short = (text: string): string => (text.length > 18 ? `${text.slice(0, 17)}…` : text);

function Line({ component: { name, use, needs }, onShow }: { readonly component: Component; readonly onShow: (name: string) => void }): ReactNode {
  return (
    <li>
      <button type="button" className={classes.link} onClick={() => onShow(name)}>
        {name}
      </button>{" "}
      <span className="dim">{use}</span> {needs.length === 0 ? "needs no other" : `needs ${needs.map(needWords).join(", ")}`}
    </li>
  );
}

/** The key is said where it says more than the name does. */
function needWords({ name, keys }: Need): string {
  const others = keys.filter((key) => key !== name);
  return others.length === 0 ? name : `${name} (as ${others.join(", ")})`;
}
