// A plugin of TypeDoc: names that begin with an underscore are not part of the API.
import { Converter, ReflectionKind } from "typedoc";

export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, (context) => {
    for (const reflection of context.project.getReflectionsByKind(ReflectionKind.ClassMember)) {
      if (reflection.name.startsWith("_")) context.project.removeReflection(reflection);
    }
  });
}
