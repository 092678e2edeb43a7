// Draws what is known, with this client's player in the middle.
const colour = (id) => `hsl(${parseInt(id.slice(0, 4), 16) % 360} 70% 62%)`;

/** Draws one frame. */
export function draw(canvas, view) {
  const { rules, place, others, gems, me, ghost, cells } = view;
  const scale = devicePixelRatio;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width != width * scale || canvas.height != height * scale) {
    [canvas.width, canvas.height] = [width * scale, height * scale];
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.fillStyle = "#0d1117";
  pen.fillRect(0, 0, width, height);
  pen.translate(width / 2 - place[0], height / 2 - place[1]);

  // The cells in sight: all that the server tells this player of.
  for (const cell of cells) {
    const [x, y] = cell.split(".").map((part) => part * rules.cell);
    pen.fillStyle = "#131922";
    pen.fillRect(x, y, rules.cell, rules.cell);
    pen.strokeStyle = "#1f2733";
    pen.strokeRect(x, y, rules.cell, rules.cell);
  }
  pen.strokeStyle = "#3b4658";
  pen.lineWidth = 3;
  pen.strokeRect(0, 0, rules.size, rules.size);
  pen.lineWidth = 1;
  for (const [x, y, radius] of rules.rocks) disc(pen, x, y, radius, "#2a3342");
  for (const [x, y] of gems) {
    pen.fillStyle = "#ffd166";
    pen.beginPath();
    pen.moveTo(x, y - 8);
    pen.lineTo(x + 7, y);
    pen.lineTo(x, y + 8);
    pen.lineTo(x - 7, y);
    pen.fill();
  }
  for (const other of others) player(pen, other.place, rules.radius, colour(other.id), other.name);
  if (ghost) {
    pen.strokeStyle = "#f2637e";
    pen.beginPath();
    pen.arc(...ghost, rules.radius, 0, 2 * Math.PI);
    pen.stroke();
  }
  player(pen, place, rules.radius, colour(me.id), me.name, true);
}

function player(pen, [x, y], radius, fill, name, isMine) {
  disc(pen, x, y, radius, fill);
  if (isMine) {
    pen.strokeStyle = "#fff";
    pen.lineWidth = 2;
    pen.stroke();
    pen.lineWidth = 1;
  }
  pen.fillStyle = "#c6cedb";
  pen.font = "12px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.fillText(name, x, y - radius - 6);
}

function disc(pen, x, y, radius, fill) {
  pen.fillStyle = fill;
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}
