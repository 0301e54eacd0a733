// A button that saves a file of the hub.
import { IconDownload } from "@tabler/icons-react";
import { useState, type ReactNode } from "react";
import { IconButton } from "@/components/Button";
import { saveBlob } from "@/lib/download";
import { token } from "@/lib/endpoints";
import { getBlob, routeAddress } from "@/lib/hub/client";

interface Props {
  readonly route: string;
  readonly name: string;
  readonly label: string;
}

export function SaveFile({ route, name, label }: Props): ReactNode {
  const [problem, setProblem] = useState<string | null>(null);
  const save = (): void => {
    setProblem(null);
    // The browser streams a plain link to the disk; a token has to go with the request, so that its answer is held first.
    if (token() === null) {
      const link = document.createElement("a");
      [link.href, link.download] = [routeAddress(route), name];
      link.click();
    } else getBlob(route).then((blob) => saveBlob(blob, name), (error: unknown) => setProblem(error instanceof Error ? error.message : String(error)));
  }; // prettier-ignore
  return (
    <>
      <IconButton label={label} onClick={save}>
        <IconDownload />
      </IconButton>
      {problem === null ? null : <span role="alert">{problem}</span>}
    </>
  );
}
