/// The page of `GET /`, whole: it asks for nothing but `/status.json` from where it came. What peers say goes into text
/// nodes alone, never into markup.
enum DashboardPage {
    /// - Parameter nonce: fresh for each answer, and named in its Content-Security-Policy: no other script or style counts.
    static func html(nonce: String) -> String {
        """
        <!doctype html>
        <html lang="en"><head><meta charset="utf-8"><title>Parley</title>
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <style nonce="\(nonce)">\(style)</style></head>
        <body>\(body)<script nonce="\(nonce)">\(DashboardScript.text)</script></body></html>
        """
    }

    private static let body = """
        <header><h1>Parley</h1><span id="about"></span><span id="state" class="pill">…</span></header>
        <main>
        <section class="tiles" id="tiles"></section>
        <section class="card"><h2>Throughput <small id="span"></small></h2>
        <div class="legend"><span class="in">in <b id="rate-in">–</b></span>
        <span class="out">out <b id="rate-out">–</b></span></div>
        <div id="plot"></div></section>
        <section class="card"><h2>Security associations <small id="shown"></small></h2>
        <div class="scroll"><table><thead><tr><th>SA</th><th>Peer or networks</th><th>State</th><th>Suite</th>
        <th class="n">Age</th><th class="n">Rekey in</th><th class="n">In</th><th class="n">Out</th><th>Rate</th>
        </tr></thead><tbody id="sas"></tbody></table></div></section>
        <section class="card"><h2>Last refusals, explained</h2><div id="refusals"></div></section>
        </main>
        """

    private static let style = """
        :root { --paper: #f4f5f7; --card: #fff; --ink: #1b1f27; --dim: #667085; --line: #e3e6eb; --in: #2563eb;
          --out: #d97706; --good: #15803d; --bad: #b42318; --wait: #b45309; }
        @media (prefers-color-scheme: dark) { :root { --paper: #0f1217; --card: #181c23; --ink: #e7eaf0; --dim: #95a0b2;
          --line: #2a303a; --in: #6ea8fe; --out: #f5b04c; --good: #4ade80; --bad: #ff8a7a; --wait: #fbbf24; } }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
        header { display: flex; gap: 12px; align-items: center; padding: 16px 24px; border-bottom: 1px solid var(--line);
          background: var(--card); }
        h1 { font-size: 20px; margin: 0; letter-spacing: -.01em; }
        h2 { font-size: 15px; margin: 0 0 10px; }
        small, #about { color: var(--dim); font-weight: 400; font-size: 13px; }
        #state { margin-left: auto; }
        main { max-width: 1240px; margin: 0 auto; padding: 20px 24px; display: grid; gap: 16px; }
        .card, .tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px;
          min-width: 0; }
        .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 16px; }
        .tile b { display: block; font-size: 26px; font-weight: 600; font-variant-numeric: tabular-nums; }
        .tile span { color: var(--dim); font-size: 13px; }
        .pill { padding: 2px 10px; border-radius: 99px; border: 1px solid currentColor; font-size: 12px; }
        .good { color: var(--good); } .bad { color: var(--bad); } .wait { color: var(--wait); }
        .legend { display: flex; gap: 18px; font-size: 13px; margin-bottom: 6px; color: var(--dim); }
        .legend span::before { content: ""; display: inline-block; width: 10px; height: 10px; border-radius: 3px;
          margin-right: 6px; background: currentColor; }
        .legend .in::before { background: var(--in); } .legend .out::before { background: var(--out); }
        .legend b { color: var(--ink); font-variant-numeric: tabular-nums; }
        svg { display: block; width: 100%; overflow: visible; }
        .plot { height: 170px; } .spark { width: 96px; height: 22px; }
        .grid { stroke: var(--line); } .label { fill: var(--dim); font-size: 11px; }
        .line-in { stroke: var(--in); fill: none; } .line-out { stroke: var(--out); fill: none; }
        .area-in { fill: var(--in); opacity: .14; } .area-out { fill: var(--out); opacity: .14; }
        .scroll { overflow-x: auto; }
        table { border-collapse: collapse; width: 100%; font-size: 14px; }
        th { text-align: left; color: var(--dim); font-weight: 500; font-size: 12px; }
        th, td { padding: 7px 12px 7px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
        .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
        tr.ike td { font-weight: 600; } tr.child td:first-child { padding-left: 20px; }
        td.mono { font-family: ui-monospace, monospace; font-size: 13px; overflow-wrap: anywhere; }
        .empty { color: var(--dim); padding: 8px 0; }
        details { border-top: 1px solid var(--line); padding: 10px 0; } details:first-child { border-top: 0; }
        summary { cursor: pointer; } summary time { color: var(--dim); float: right; font-size: 13px; }
        .fix { margin: 6px 0 0 18px; padding: 0; list-style: none; font-size: 14px; }
        .fix li::before { content: "→ "; color: var(--good); }
        pre { font-size: 12.5px; overflow-x: auto; background: var(--paper); padding: 10px; border-radius: 8px; }
        """
}
