/// What the page does: asks every other second, computes rates from the counters, and draws.
enum DashboardScript {
    static let text = #"""
        "use strict";
        const PERIOD = 2000, KEPT = 150;
        const at = (id) => document.getElementById(id);
        const make = (name, kind, text) => {
          const node = document.createElement(name);
          if (kind) node.className = kind;
          if (text !== undefined) node.textContent = text;
          return node;
        };
        const draw = (name, attributes, text) => {
          const node = document.createElementNS("http://www.w3.org/2000/svg", name);
          for (const key in attributes) node.setAttribute(key, attributes[key]);
          if (text !== undefined) node.textContent = text;
          return node;
        };
        const scaled = (value, units, step) => {
          let index = 0;
          while (value >= step && index < units.length - 1) { value /= step; index += 1; }
          return (value >= 100 || index === 0 ? value.toFixed(0) : value.toFixed(1)) + " " + units[index];
        };
        const octets = (value) => scaled(value, ["B", "KiB", "MiB", "GiB", "TiB"], 1024);
        const rate = (value) => scaled(value * 8, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"], 1000);
        const span = (text) => {
          if (text === undefined) return "–";
          const all = Math.max(0, Math.round(Number(text)));
          const parts = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
          const first = parts.findIndex(([size]) => all >= size);
          if (first < 0) return "0s";
          const [size, unit] = parts[first];
          const rest = parts[first + 1] && Math.floor((all % size) / parts[first + 1][0]);
          return Math.floor(all / size) + unit + (rest ? rest + parts[first + 1][1] : "");
        };

        const total = [], byChild = new Map();
        let before = null;

        function measure(report) {
          const now = performance.now(), seconds = before ? (now - before) / 1000 : 0, seen = new Set();
          let sum = { in: 0, out: 0 };
          for (const [, sa] of report.sas) for (const key in sa["child-sas"]) {
            const child = sa["child-sas"][key], id = child.uniqueid;
            const next = { in: Number(child["bytes-in"] || 0), out: Number(child["bytes-out"] || 0) };
            const known = byChild.get(id) || { last: before ? { in: 0, out: 0 } : next, rates: [] };
            // A child that came since the last look has carried all of it since.
            const change = (way) => seconds ? Math.max(0, next[way] - known.last[way]) / seconds : 0;
            const flow = { in: change("in"), out: change("out") };
            if (seconds) known.rates.push(flow);
            if (known.rates.length > KEPT) known.rates.shift();
            known.last = next;
            byChild.set(id, known);
            seen.add(id);
            sum = { in: sum.in + flow.in, out: sum.out + flow.out };
          }
          for (const id of byChild.keys()) if (!seen.has(id)) byChild.delete(id);
          if (before) total.push(sum);
          if (total.length > KEPT) total.shift();
          before = now;
          return sum;
        }

        function path(values, way, width, height, top) {
          const step = width / (KEPT - 1), start = width - (values.length - 1) * step;
          return values.map((value, index) => (index ? "L" : "M") + (start + index * step).toFixed(1) + " "
            + (height - value[way] / top * height).toFixed(1)).join("");
        }

        function plot(values) {
          const width = 1000, height = 150;
          const top = Math.max(1000, ...values.flatMap((value) => [value.in, value.out])) * 1.1;
          const box = draw("svg", { class: "plot", viewBox: "0 -4 1000 170", preserveAspectRatio: "none",
            role: "img", "aria-label": "octets a second in and out" });
          for (let part = 0; part <= 3; part += 1) {
            const y = height * part / 3;
            box.append(draw("line", { class: "grid", x1: 0, x2: width, y1: y, y2: y, "vector-effect":
              "non-scaling-stroke" }));
          }
          for (const way of values.length > 1 ? ["in", "out"] : []) {
            const line = path(values, way, width, height, top), start = width - (values.length - 1) * width / (KEPT - 1);
            box.append(draw("path", { class: "area-" + way, d: line + `L${width} ${height}L${start} ${height}Z` }));
            box.append(draw("path", { class: "line-" + way, d: line, "stroke-width": 2,
              "vector-effect": "non-scaling-stroke" }));
          }
          at("plot").replaceChildren(box);
          at("span").textContent = "the last 5 minutes since this page opened, up to " + rate(top);
        }

        function spark(rates) {
          const box = draw("svg", { class: "spark", viewBox: "0 -1 100 22", preserveAspectRatio: "none" });
          const top = Math.max(1, ...rates.flatMap((value) => [value.in, value.out]));
          for (const way of ["in", "out"]) box.append(draw("path", { class: "line-" + way, "stroke-width": 1.5,
            d: path(rates, way, 100, 20, top), "vector-effect": "non-scaling-stroke" }));
          return box;
        }

        function suite(sa) {
          const parts = [sa["encr-alg"] && sa["encr-alg"] + (sa["encr-keysize"] ? "-" + sa["encr-keysize"] : ""),
            sa["integ-alg"], sa["prf-alg"], sa["dh-group"], sa["ke1-alg"]];
          return parts.filter(Boolean).join(" / ");
        }

        function row(kind, cells) {
          const line = make("tr", kind);
          for (const [text, style] of cells) {
            const cell = make("td", style, text instanceof Node ? undefined : text);
            if (text instanceof Node) cell.append(text);
            line.append(cell);
          }
          return line;
        }

        const mood = (state) => ["ESTABLISHED", "INSTALLED"].includes(state) ? "good"
          : state === "DELETING" ? "bad" : "wait";

        function table(report) {
          const rows = [];
          for (const [name, sa] of report.sas) {
            const peer = `${sa["remote-id"]} at ${sa["remote-host"]}:${sa["remote-port"]}`
              + (sa["nat-any"] ? ", NAT" : "");
            rows.push(row("ike", [[`${name}[${sa.uniqueid}] IKEv${sa.version}`], [peer, "mono"],
              [sa.state, mood(sa.state)], [suite(sa)], [span(sa.established), "n"], [span(sa["rekey-time"]), "n"],
              [""], [""], [""]]));
            for (const child of Object.values(sa["child-sas"] || {})) {
              const nets = (child["local-ts"] || []).join(" ") + " ⇄ " + (child["remote-ts"] || []).join(" ");
              rows.push(row("child", [[`${child.name}{${child.uniqueid}}`], [nets, "mono"],
                [child.state, mood(child.state)], [child.protocol + " " + suite(child)],
                [span(child["install-time"]), "n"], [span(child["rekey-time"]), "n"],
                [octets(Number(child["bytes-in"] || 0)), "n"], [octets(Number(child["bytes-out"] || 0)), "n"],
                [spark((byChild.get(child.uniqueid) || { rates: [] }).rates)]]));
            }
          }
          if (!rows.length) {
            const cell = make("td", "empty", "No security association is up.");
            cell.colSpan = 9;
            const line = make("tr");
            line.append(cell);
            rows.push(line);
          }
          at("sas").replaceChildren(...rows);
          at("shown").textContent = report.sas.length < report["ike-sas"]
            ? `the first ${report.sas.length} of ${report["ike-sas"]}` : "";
        }

        let shownRefusals = "";
        function refusals(report) {
          const age = (record) => span(record.age) + " ago";
          // What somebody has unfolded stays so while nothing new came.
          const key = report.refusals.map((record) => record.lines.join("\n")).join("\n\n");
          if (key !== shownRefusals || !report.refusals.length) {
            shownRefusals = key;
            at("refusals").replaceChildren(...report.refusals.map((record) => {
              const box = make("details"), head = make("summary");
              const where = (record.connection || "no connection") + (record.child ? " / " + record.child : "");
              head.append(make("b", "", where), ` with ${record.remote}: ${record.summary}`, make("time"));
              const fixes = make("ul", "fix");
              for (const fix of Object.values(record.remedies)) {
                const side = { here: "here: ", peer: "on the peer: ", either: "on either side: " }[fix.side] || "";
                fixes.append(make("li", "", side + fix.key + (fix.wanted ? " = " + fix.wanted : "")
                  + (fix.current ? ` (now ${fix.current})` : "")));
              }
              box.append(head, fixes, make("pre", "", record.lines.join("\n")));
              box.open = record === report.refusals[0];
              return box;
            }));
            if (!report.refusals.length) at("refusals").append(make("p", "empty", "Nothing has been refused."));
          }
          at("refusals").querySelectorAll("time").forEach((node, index) => {
            node.textContent = age(report.refusals[index]);
          });
        }

        function tiles(report) {
          const down = report["wanted-but-down"];
          const entries = [[report["ike-sas"], "IKE SAs"], [report.children, "child SAs"],
            [report.connections, "connections"], [down.length, "wanted, but down", down.length ? "bad" : ""],
            [report["refusals-kept"], "refusals kept"]];
          at("tiles").replaceChildren(...entries.map(([value, label, kind]) => {
            const tile = make("div", "tile");
            tile.append(make("b", kind || "", String(value)), make("span", "", label));
            if (label.startsWith("wanted") && down.length) tile.title = down.join(", ");
            return tile;
          }));
          at("about").textContent = `version ${report.version}, up for ${span(report.uptime)}`;
          at("state").textContent = report.status;
          at("state").className = "pill " + (report.status === "ok" ? "good" : "bad");
        }

        async function look() {
          try {
            const answer = await fetch("/status.json", { cache: "no-store" });
            if (!answer.ok) throw new Error(answer.status);
            const report = await answer.json();
            report.sas = report.sas.flatMap((entry) => Object.entries(entry));
            const sum = measure(report);
            at("rate-in").textContent = rate(sum.in);
            at("rate-out").textContent = rate(sum.out);
            tiles(report);
            plot(total);
            table(report);
            refusals(report);
          } catch (problem) {
            at("state").textContent = "no answer from the daemon";
            at("state").className = "pill bad";
          }
          setTimeout(look, PERIOD);
        }
        look();
        """#
}
