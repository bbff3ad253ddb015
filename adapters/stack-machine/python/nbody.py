from math import sqrt


def main(size):
    n = 5
    x = [0.0] * n
    y = [0.0] * n
    z = [0.0] * n
    vx = [0.0] * n
    vy = [0.0] * n
    vz = [0.0] * n
    mass = [0.0] * n
    x[1] = 4.841431442464721
    x[2] = 8.34336671824458
    x[3] = 12.894369562139131
    x[4] = 15.379697114850917
    y[1] = -1.1603200440274284
    y[2] = 4.124798564124305
    y[3] = -15.111151401698631
    y[4] = -25.919314609987964
    z[1] = -0.10362204447112311
    z[2] = -0.4035234171143214
    z[3] = -0.22330757889265573
    z[4] = 0.17925877295037118
    vx[1] = 0.606326392995832
    vx[2] = -1.0107743461771435
    vx[3] = 1.0827910064415354
    vx[4] = 0.979090732243898
    vy[1] = 2.81198684491626
    vy[2] = 1.8256623712304119
    vy[3] = 0.8687130181696082
    vy[4] = 0.5946989986476762
    vz[1] = -0.02521836165988763
    vz[2] = 0.008415761376584154
    vz[3] = -0.010832637401363636
    vz[4] = -0.034755955504078104
    mass[0] = 1.0
    mass[1] = 0.0009547919384243266
    mass[2] = 0.0002858859806661308
    mass[3] = 4.366244043351563e-05
    mass[4] = 5.1513890204661145e-05
    step = 0
    while step < size:
        advance(x, y, z, vx, vy, vz, mass, n, 0.01)
        step = step + 1
    return x[0] + y[1] + z[2] + vx[3] + vy[4]


def advance(x, y, z, vx, vy, vz, mass, n, dt):
    i = 0
    while i < n:
        xi = x[i]
        yi = y[i]
        zi = z[i]
        mi = mass[i]
        j = i + 1
        while j < n:
            dx = xi - x[j]
            dy = yi - y[j]
            dz = zi - z[j]
            d = dx * dx + dy * dy + dz * dz
            m = dt / (d * sqrt(d))
            mj = mass[j] * m
            vx[i] = vx[i] - dx * mj
            vy[i] = vy[i] - dy * mj
            vz[i] = vz[i] - dz * mj
            mk = mi * m
            vx[j] = vx[j] + dx * mk
            vy[j] = vy[j] + dy * mk
            vz[j] = vz[j] + dz * mk
            j = j + 1
        i = i + 1
    i = 0
    while i < n:
        x[i] = x[i] + dt * vx[i]
        y[i] = y[i] + dt * vy[i]
        z[i] = z[i] + dt * vz[i]
        i = i + 1
    return 0
